// SPDX-License-Identifier: Apache-2.0
// Truth: 70 % of the CPU time in Split.work70, 20 % in Split.work20, 10 % in Split.work10, called by turn by Split.turn.
// java -XX:+PreserveFramePointer -XX:CompileCommand=quiet -XX:CompileCommand=dontinline,Split::work* Split [SECONDS], else
// until it is ended; the perf map is written by `jcmd PID Compiler.perfmap` (17 and later). Names there are of the kind
// "int Split.work70(int)".
public class Split {
	static final int UNIT = 13000; // iterations, each waiting for the one before
	static volatile int result;

	static int work70(int x) {
		for (int i = 0; i < 7 * UNIT; i++)
			x = (x ^ x >>> 7) * 1664525 + 5;
		return x;
	}

	static int work20(int x) {
		for (int i = 0; i < 2 * UNIT; i++)
			x = (x ^ x >>> 7) * 1664525 + 1;
		return x;
	}

	static int work10(int x) {
		for (int i = 0; i < UNIT; i++)
			x = (x ^ x >>> 7) * 1664525 + 3;
		return x;
	}

	static int turn(int x) {
		return work10(work20(work70(x)));
	}

	public static void main(String[] args) {
		long seconds = args.length > 0 ? Long.parseLong(args[0]) : 1000000000L;
		long end = System.nanoTime() + seconds * 1000000000L;
		int x = 1;
		while (System.nanoTime() - end < 0)
			x = turn(x);
		result = x;
	}
}
