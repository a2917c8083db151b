// SPDX-License-Identifier: Apache-2.0
// convoy.c with std::sync::Mutex. What is measured and printed is as truth.h says; of time waiting
// for a CPU it reads the same file.
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

// Ran, waited to run; ns.
fn schedstat() -> (u64, u64) {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut n = text.split_whitespace().map(|w| w.parse().unwrap_or(0));
    (n.next().unwrap_or(0), n.next().unwrap_or(0))
}

#[derive(Default)]
struct Truth {
    off: u64,
    runnable: u64,
    times: u64,
}

fn measure<T>(truth: &mut Truth, f: impl FnOnce() -> T) -> T {
    let (from, began) = (schedstat(), Instant::now());
    let result = f();
    let (took, to) = (began.elapsed().as_nanos() as u64, schedstat());
    truth.off += took.saturating_sub(to.0 - from.0);
    truth.runnable += to.1 - from.1;
    truth.times += 1;
    result
}

#[inline(never)]
fn rust_locks(mutex: &Mutex<u64>) -> std::sync::MutexGuard<'_, u64> {
    let guard = mutex.lock().unwrap();
    std::hint::black_box(guard)
}

#[inline(never)]
fn rust_holds(n: &mut u64) {
    thread::sleep(Duration::from_millis(3));
    *std::hint::black_box(n) += 1;
}

fn run(mutex: Arc<Mutex<u64>>, until: Instant) {
    let tid = fs::read_link("/proc/thread-self").unwrap();
    let tid = tid.file_name().unwrap().to_str().unwrap().to_string();
    let (mut locks, mut holds) = (Truth::default(), Truth::default());
    let (from, began) = (schedstat(), Instant::now());
    while Instant::now() < until {
        let mut guard = measure(&mut locks, || rust_locks(&mutex));
        measure(&mut holds, || rust_holds(&mut guard));
        drop(guard);
        thread::sleep(Duration::from_millis(2));
    }
    let (took, to) = (began.elapsed().as_nanos() as u64, schedstat());
    println!(
        "path {tid} rust_locks {} {} {}\npath {tid} rust_holds {} {} {}\nthread {tid} rustconvoy {took} {}",
        locks.off, locks.runnable, locks.times, holds.off, holds.runnable, holds.times, to.0 - from.0
    );
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mutex = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mutex = mutex.clone();
            thread::spawn(move || run(mutex, until))
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
}
