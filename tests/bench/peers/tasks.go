// tests/bench/tasks.lua for goroutines.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func number(name string) int {
	n, _ := strconv.Atoi(os.Getenv(name))
	return n
}

func resident() int {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "VmRSS:" {
			kilobytes, _ := strconv.Atoi(words[1])
			return kilobytes
		}
	}
	return 0
}

func main() {
	runtime.GOMAXPROCS(1)
	count, rounds := number("TASKS"), number("ROUNDS")
	seconds := time.Duration(number("SECONDS")) * time.Second
	var alive, asleep int64
	var all sync.WaitGroup
	before := resident()

	sleeper := func() {
		atomic.AddInt64(&alive, 1)
		time.Sleep(seconds)
		if atomic.AddInt64(&asleep, 1) == int64(count) {
			fmt.Println("alive", alive)
			fmt.Println("kilobytes", resident()-before)
		}
		time.Sleep(seconds)
		atomic.AddInt64(&alive, -1)
		all.Done()
	}
	yielder := func() {
		for i := 0; i < rounds; i++ {
			runtime.Gosched()
		}
		all.Done()
	}

	work := yielder
	if os.Getenv("MODE") == "sleep" {
		work = sleeper
	}
	start := time.Now()
	all.Add(count)
	for i := 0; i < count; i++ {
		go work()
	}
	all.Wait()
	fmt.Println("seconds", time.Since(start).Seconds())
}
