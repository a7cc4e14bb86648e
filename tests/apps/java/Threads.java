import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;

public class Threads {
    static int sum;
    static synchronized void add(int n) { sum += n; }
    static void monitors() throws Exception {
        Thread[] ts = new Thread[16];
        for (int i = 0; i < ts.length; i++) { ts[i] = new Thread(() -> { for (int j = 0; j < 5000; j++) add(1); }); ts[i].start(); }
        for (Thread t : ts) t.join();
        System.out.println("monitors: " + sum);
    }
    static void pool() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Long>> fs = new ArrayList<>();
        for (int i = 0; i < 200; i++) { final int n = i; fs.add(pool.submit(() -> { long s = 0; for (int k = 0; k <= n * 100; k++) s += k; return s; })); }
        long total = 0;
        for (Future<Long> f : fs) total += f.get();
        pool.shutdown();
        System.out.println("pool: " + total + " " + pool.awaitTermination(60, TimeUnit.SECONDS));
    }
    static void queue() throws Exception {
        ArrayBlockingQueue<Integer> q = new ArrayBlockingQueue<>(4);
        AtomicLong got = new AtomicLong();
        Thread[] ts = new Thread[8];
        for (int i = 0; i < 4; i++) {
            ts[i] = new Thread(() -> { try { for (int j = 1; j <= 1000; j++) q.put(j); } catch (InterruptedException e) {} });
            ts[i + 4] = new Thread(() -> { try { for (int j = 1; j <= 1000; j++) got.addAndGet(q.take()); } catch (InterruptedException e) {} });
        }
        for (Thread t : ts) t.start();
        for (Thread t : ts) t.join();
        System.out.println("queue: " + got);
    }
    static void interrupts() throws Exception {
        CountDownLatch ready = new CountDownLatch(3);
        AtomicInteger hit = new AtomicInteger();
        Object lock = new Object();
        Thread a = new Thread(() -> { ready.countDown(); try { Thread.sleep(1000000); } catch (InterruptedException e) { hit.incrementAndGet(); } });
        Thread b = new Thread(() -> { ready.countDown(); synchronized (lock) { try { lock.wait(); } catch (InterruptedException e) { hit.incrementAndGet(); } } });
        Thread c = new Thread(() -> { ready.countDown(); LockSupport.park(); if (Thread.interrupted()) hit.incrementAndGet(); });
        a.start(); b.start(); c.start(); ready.await();
        a.interrupt(); b.interrupt(); c.interrupt();
        a.join(); b.join(); c.join();
        System.out.println("interrupts: " + hit);
    }
    static void processes() throws Exception {
        Process p = new ProcessBuilder("/bin/sh", "-c", "cat; exit 7").start();
        try (var w = p.outputWriter()) { w.write("through a child\n"); }
        System.out.print("process: " + new String(p.getInputStream().readAllBytes()));
        System.out.println("process: status " + p.waitFor());
        Process s = new ProcessBuilder("/bin/sleep", "100000").start();
        s.destroy();
        System.out.println("process: destroyed " + s.waitFor());
    }
    static int deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1); }
    static void faults() throws Exception {
        try { System.out.println(deep(1 << 30)); } catch (StackOverflowError e) { System.out.println("stack overflow"); }
        Thread t = new Thread(() -> { try { deep(1 << 30); } catch (StackOverflowError e) { System.out.println("stack overflow in a thread"); } });
        t.start(); t.join();
        int npe = 0;
        for (int i = 0; i < 20000; i++) { int[] x = (i % 3 == 0) ? null : new int[1]; try { x[0] = i; } catch (NullPointerException e) { npe++; } }
        System.out.println("null pointers: " + npe);
        try { byte[][] m = new byte[100000][]; for (int i = 0; i < m.length; i++) m[i] = new byte[1 << 20]; } catch (OutOfMemoryError e) { System.out.println("out of memory"); }
    }
    static void time() throws Exception {
        ScheduledExecutorService s = Executors.newScheduledThreadPool(2);
        CountDownLatch ticks = new CountDownLatch(20);
        s.scheduleAtFixedRate(ticks::countDown, 0, 5, TimeUnit.MILLISECONDS);
        System.out.println("ticks: " + ticks.await(60, TimeUnit.SECONDS));
        s.shutdownNow();
        System.out.println("ticks: " + s.awaitTermination(60, TimeUnit.SECONDS));
        long before = System.nanoTime(); Thread.sleep(50);
        System.out.println("slept: " + (System.nanoTime() - before >= 50_000_000L));
    }
    static void forkJoin() {
        long n = java.util.stream.LongStream.rangeClosed(1, 200000).parallel().filter(x -> x % 7 == 0).sum();
        System.out.println("parallel: " + n);
    }
    public static void main(String[] args) throws Exception {
        monitors(); pool(); queue(); interrupts(); processes(); faults(); time(); forkJoin();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(3);
    }
}
