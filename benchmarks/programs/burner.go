// Spikes in plantedHot, beside goroutines that wait.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

//go:noinline
func plantedHot(seed uint64) uint64 {
	for i := 0; i < 4000000; i++ {
		seed = seed*6364136223846793005 + (seed >> 7)
	}
	return seed
}

func main() {
	for i := 0; i < 50; i++ {
		go func() { time.Sleep(time.Hour) }()
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	seed, told := uint64(1), time.Time{}
	for start, rounds := time.Now(), 1; time.Since(start) < time.Minute; rounds++ {
		seed = plantedHot(seed)
		if time.Since(told) > 100*time.Millisecond {
			told = time.Now()
			fmt.Println(os.Getpid(), rounds)
		}
	}
	if seed == 42 {
		os.Exit(1)
	}
}
