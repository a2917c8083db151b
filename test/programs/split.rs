// SPDX-License-Identifier: Apache-2.0
// Truth: of the CPU time, demangled (with or without the hash at the end),
//   70 %  split::shop::Till::work70      20 %  <i32 as split::shop::Work>::work20      10 %  split::shop::work10
// called by turn by split::main. split [SECONDS], else until it is ended.
// Built with: rustc --crate-name split -O -C debuginfo=0 -C force-frame-pointers=yes split.rs
mod shop {
    const UNIT: u32 = 13000; // iterations, each waiting for the one before
    const FACTOR: u64 = 6364136223846793005;

    fn turns(mut x: u64, count: u32, add: u64) -> u64 {
        for _ in 0..std::hint::black_box(count) {
            x = x.wrapping_mul(FACTOR).wrapping_add(add);
        }
        x
    }

    pub struct Till {
        pub sum: u64,
    }
    impl Till {
        #[inline(never)]
        pub fn work70(&mut self) {
            self.sum = turns(self.sum, 7 * UNIT, 5);
        }
    }

    pub trait Work {
        fn work20(&self, x: u64) -> u64;
    }
    impl Work for i32 {
        #[inline(never)]
        fn work20(&self, x: u64) -> u64 {
            turns(x, 2 * UNIT, *self as u64)
        }
    }

    #[inline(never)]
    pub fn work10(x: u64) -> u64 {
        turns(x, UNIT, 3)
    }
}

use shop::Work;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1000000000);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut till = shop::Till { sum: 1 };
    while std::time::Instant::now() < end {
        till.work70();
        till.sum = 7.work20(till.sum);
        till.sum = shop::work10(till.sum);
    }
    std::hint::black_box(till.sum);
}
