use super::fe::{Fe4, Field};
use std::time::Instant;

#[target_feature(enable = "avx2,fma")]
fn run() {
    let mut a = Fe4::splat([1, 2, 3, 4]);
    let b = Fe4::splat([5, 2, 3, 4]);
    let mut x = [a, b, a, b];
    for round in 0..6 {
        let t = Instant::now();
        let n = 1_000_000;
        for _ in 0..n {
            if round % 2 == 0 {
                for v in &mut x { *v = v.mul(&b); }
            } else {
                for v in &mut x { *v = v.sqr(); }
            }
        }
        a = x[0];
        println!("{} {:.2} ns", if round % 2 == 0 { "mul" } else { "sqr" }, t.elapsed().as_nanos() as f64 / n as f64 / 4.0);
    }
    println!("{:?}", a);
    // clock
    let t = Instant::now();
    let mut z = 1u64;
    for _ in 0..1_000_000_000u64 / 10 { unsafe { std::arch::asm!("imul {0},{0}", inout(reg) z); } }
    println!("imul (3 cycles) {:.3} ns", t.elapsed().as_nanos() as f64 / 1e8);
}
#[test]
fn speed() { unsafe { run() } }
