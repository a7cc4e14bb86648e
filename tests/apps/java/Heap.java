import java.util.*;
import java.util.concurrent.atomic.*;

/** Threads that allocate, keep some and drop most, for as many seconds as the argument says. Prints only what must hold. */
public class Heap {
    static final class Node { Node next; final long value; final byte[] weight; Node(long v, int w, Node n) { value = v; weight = new byte[w]; next = n; } }
    public static void main(String[] args) throws Exception {
        long seconds = Long.parseLong(args[0]);
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        AtomicLong wrong = new AtomicLong(), rounds = new AtomicLong();
        Thread[] ts = new Thread[4];
        for (int i = 0; i < ts.length; i++) {
            final int seed = i;
            ts[i] = new Thread(() -> {
                Random r = new Random(seed);
                Map<Integer, Node> kept = new HashMap<>();
                while (System.nanoTime() < end) {
                    Node list = null; long sum = 0;
                    for (int k = 0; k < 200; k++) { long v = r.nextInt(); sum += v; list = new Node(v, 16 + r.nextInt(512), list); }
                    kept.put(r.nextInt(64), list);
                    long again = 0; for (Node n = list; n != null; n = n.next) again += n.value;
                    if (again != sum) wrong.incrementAndGet();
                    if (r.nextInt(50) == 0) { byte[] big = new byte[1 << 20]; big[r.nextInt(big.length)] = 1; }
                    rounds.incrementAndGet();
                }
                for (Node n : kept.values()) for (int c = 0; n != null; n = n.next, c++) for (byte b : n.weight) if (b != 0) wrong.incrementAndGet();
            });
            ts[i].start();
        }
        for (Thread t : ts) t.join();
        long collections = 0;
        for (var gc : java.lang.management.ManagementFactory.getGarbageCollectorMXBeans()) collections += gc.getCollectionCount();
        System.out.println("wrong: " + wrong + ", rounds made: " + (rounds.get() > 0) + ", collected: " + (collections > 0));
        System.err.println(rounds + " rounds, " + collections + " collections");
    }
}
