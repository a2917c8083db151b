// SPDX-License-Identifier: Apache-2.0
// Allocates a known number of bytes at each of a few places, in THREADS threads that go on and as many times BRIEF that end, when
// a byte comes in; then says what each place allocated, and ends when the input does.
public class Allocs extends Thread {
	static final int KB = 1024;
	static volatile Object out;
	static int megabytes, brief;
	boolean ends;
	long smalls, mediums, larges, briefs;
	long random;

	// Sizes are those of the objects: 16 bytes of each are the head of the array.
	void small() {
		out = new byte[64 - 16];
		smalls += 64;
	}

	void medium() {
		out = new byte[1008 - 16];
		mediums += 1008;
	}

	void large() {
		out = new byte[1024 * KB - 16];
		larges += 1024 * KB;
	}

	void brief() {
		out = new byte[256 - 16];
		briefs += 256;
	}

	int next(int n) {
		random = random * 6364136223846793005L + 1442695040888963407L;
		return (int)((random >>> 33) % n);
	}

	// As many bytes of small as of medium ones, in any order, and of large ones.
	void mix(long bytes) {
		for (long to = smalls + mediums + larges + bytes; smalls + mediums + larges < to;) {
			int n = next(1072 * 1024);
			if (n < 64)
				large();
			else if (n < 64 + 63 * 1024)
				medium();
			else
				small();
		}
	}

	public void run() {
		if (ends)
			for (int i = 0; i < 200 * KB / 256; i++)
				brief();
		else
			mix((long)megabytes << 20);
	}

	static Allocs start(int n, boolean ends) {
		Allocs a = new Allocs();
		a.random = n * 77;
		a.ends = ends;
		a.start();
		return a;
	}

	public static void main(String[] args) throws Exception {
		int threads = Integer.parseInt(args[0]);
		megabytes = Integer.parseInt(args[1]);
		brief = Integer.parseInt(args[2]);
		Allocs all = new Allocs(), warm = new Allocs();
		warm.mix(8 << 20);
		warm.large();
		warm.brief();
		System.out.println("ready");
		System.in.read();
		Allocs[] list = new Allocs[threads];
		for (int i = 0; i < threads; i++)
			list[i] = start(i, false);
		for (int i = 0; i < brief; i++) {
			Allocs a = start(i, true);
			a.join();
			all.briefs += a.briefs;
		}
		for (Allocs a : list) {
			a.join();
			all.smalls += a.smalls;
			all.mediums += a.mediums;
			all.larges += a.larges;
		}
		System.out.println("Allocs::small " + all.smalls + " Allocs::medium " + all.mediums + " Allocs::large " + all.larges +
			" brief " + all.briefs);
		System.in.read();
	}
}
