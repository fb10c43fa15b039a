/** Spikes in plantedHot on one thread, beside as many waiting ones as its argument says. */
public class Burner {
    static volatile long sink;

    static long plantedHot(long seed) {
        for (int i = 0; i < 4_000_000; i++) seed = seed * 6364136223846793005L + (seed >>> 7);
        return seed;
    }

    static void burn() {
        long pid = ProcessHandle.current().pid(), start = System.nanoTime(), told = start;
        for (long rounds = 1; System.nanoTime() - start < 60_000_000_000L; rounds++) {
            sink = plantedHot(sink + 1);
            if (System.nanoTime() - told > 100_000_000L) {
                told = System.nanoTime();
                System.out.println(pid + " " + rounds);
                System.out.flush();
            }
        }
    }

    public static void main(String[] words) throws Exception {
        for (int i = 0; i < Integer.parseInt(words[0]); i++) {
            Thread idle = new Thread(() -> {
                try { Thread.sleep(600_000); } catch (InterruptedException ended) { return; }
            });
            idle.setDaemon(true);
            idle.start();
        }
        System.out.println("ready");
        System.in.read();
        Thread worker = new Thread(Burner::burn, "worker");
        worker.start();
        worker.join();
    }
}
