// Spikes in planted_hot, on a thread of its own.
use std::time::{Duration, Instant};

#[inline(never)]
fn planted_hot(mut seed: u64) -> u64 {
    for _ in 0..4_000_000 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(seed >> 7);
    }
    seed
}

fn main() {
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let worker = std::thread::spawn(|| {
        let (start, mut told, mut seed) = (Instant::now(), Instant::now(), 1);
        let mut rounds = 0u64;
        while start.elapsed() < Duration::from_secs(60) {
            seed = planted_hot(seed);
            rounds += 1;
            if told.elapsed() > Duration::from_millis(100) {
                told = Instant::now();
                println!("{} {}", std::process::id(), rounds);
            }
        }
        seed
    });
    std::process::exit((worker.join().unwrap() == 42) as i32);
}
