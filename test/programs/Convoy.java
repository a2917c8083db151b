// SPDX-License-Identifier: Apache-2.0
// convoy.c with a monitor and with a ReentrantLock, eight threads each. Printed is as truth.h says.
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.locks.ReentrantLock;

public class Convoy extends Thread {
	static final Object monitor = new Object();
	static final ReentrantLock lock = new ReentrantLock();
	static long until;
	final boolean park;
	final long[] locks = new long[3];

	Convoy(boolean park) {
		super(park ? "javalock" : "javamonitor");
		this.park = park;
	}

	// Ran, waited to run; ns.
	static long[] schedstat() {
		try {
			String[] w = Files.readString(Path.of("/proc/thread-self/schedstat")).trim().split(" ");
			return new long[] {Long.parseLong(w[0]), Long.parseLong(w[1])};
		} catch (IOException e) {
			return new long[2];
		}
	}

	static void nap(int milliseconds) {
		try {
			Thread.sleep(milliseconds);
		} catch (InterruptedException e) {
		}
	}

	long[] from;
	long began;

	void begin() {
		from = schedstat();
		began = System.nanoTime();
	}

	void end() {
		long took = System.nanoTime() - began;
		long[] to = schedstat();
		locks[0] += Math.max(0, took - (to[0] - from[0]));
		locks[1] += to[1] - from[1];
		locks[2]++;
	}

	void monitor_locks() {
		synchronized (monitor) {
			end();
			nap(3);
		}
	}

	void park_locks() {
		lock.lock();
	}

	public void run() {
		while (System.nanoTime() < until) {
			begin();
			if (park) {
				park_locks();
				end();
				nap(3);
				lock.unlock();
			} else {
				monitor_locks();
			}
			nap(2);
		}
		try {
			String tid = Path.of("/proc/thread-self").toRealPath().getFileName().toString();
			System.out.println("path " + tid + " " + (park ? "park_locks " : "monitor_locks ") + locks[0] + " " + locks[1] + " " + locks[2]);
		} catch (IOException e) {
		}
	}

	// One wait as long as all of the run.
	static void joins(Convoy[] all) throws InterruptedException {
		for (Convoy c : all)
			c.join();
	}

	public static void main(String[] a) throws Exception {
		until = System.nanoTime() + (long)(Double.parseDouble(a[0]) * 1e9);
		Convoy[] all = new Convoy[16];
		for (int i = 0; i < 16; i++)
			(all[i] = new Convoy(i >= 8)).start();
		long began = System.nanoTime();
		joins(all);
		String tid = Path.of("/proc/thread-self").toRealPath().getFileName().toString();
		System.out.println("path " + tid + " joins " + (System.nanoTime() - began) + " 0 1");
	}
}
