#!/bin/bash
# rootfs: go
# arch: x86_64 aarch64 riscv64
# long
# mem: 3G
# timeout: 1800
# The Go compiler itself: a program and all of the standard library that it needs, built in the guest and run.
export GOROOT=/usr/lib/go-1.24 HOME=/root GOFLAGS=-p=4 GO111MODULE=off GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0
mkdir -p /tmp/hello && cd /tmp/hello || exit 1
cat > hello.go <<'GO'
package main

import (
	"fmt"
	"sync"
)

func main() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for i := 1; i <= 100; i++ {
		wg.Add(1)
		go func() { defer wg.Done(); mu.Lock(); sum += i; mu.Unlock() }()
	}
	wg.Wait()
	fmt.Println("hello from a hundred goroutines:", sum)
}
GO
$GOROOT/bin/go build -o hello hello.go
echo "built: $?"
./hello
cd /; rm -rf /tmp/hello /root/.cache/go-build
