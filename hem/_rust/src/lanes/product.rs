//! The two products of the field, written in order so that no compiler can spread them over the stack.
//!
//! A product of limbs a and b, both integers, |ab| <= 2^102, is cut in two by three instructions:
//! `h = fma(a, b, 3 * 2^102)` lies in [2^103, 2^104], where doubles are 2^51 apart, so its bit pattern is that of
//! 3 * 2^102 plus the integer H nearest to ab / 2^51. `3 * 2^102 + 3 * 2^51 - h` is exact, and
//! `l = fma(a, b, 3 * 2^51 - 2^51 H)` is exact too: the bit pattern of 3 * 2^51 plus ab - 2^51 H, which is at most
//! 2^50 in size. Bit patterns are added as integers; the sum of the patterns of the constants is taken off once, by
//! the start value of each column.
//!
//! Columns 5 to 9 come back times 19, for 2^255 = 19. Each of the five sums T then lies within 2^59 of zero (the proof
//! is in `bounds.rs`); 2^59 + 2^50 makes it positive, its low 51 bits less 2^50 are the limb, and the rest less 2^8 goes
//! up into the next. Limbs leave with at most 2^50 + 2^12.

use std::arch::naked_asm;

use super::fe::Fe4;

const LOW: u64 = 0x4338_0000_0000_0000;
const HIGH: u64 = 0x4668_0000_0000_0000;
const POSITIVE: u64 = (1 << 59) + (1 << 50);

/// How many low halves fall into each column of a product and of a square; high halves fall one further up.
pub(super) const OF_PRODUCT: [u64; 10] = [1, 2, 3, 4, 5, 4, 3, 2, 1, 0];
pub(super) const OF_SQUARE: [u64; 10] = [1, 1, 2, 2, 3, 2, 2, 1, 1, 0];

/// Everything that the two routines read besides their arguments, each value four times.
#[repr(C, align(32))]
struct Constants([[u64; 4]; 17]);

const fn constants(lows: [u64; 10]) -> Constants {
    let mut words = [[0; 4]; 17];
    let mut column = 0;
    let mut highs = 0_u64;
    while column < 10 {
        let patterns = lows[column].wrapping_mul(LOW).wrapping_add(highs.wrapping_mul(HIGH));
        let start = if column < 5 { POSITIVE } else { 0 };
        words[column] = [start.wrapping_sub(patterns); 4];
        highs = lows[column];
        column += 1;
    }
    words[10] = [(3.0 * pow2(102)).to_bits(); 4];
    words[11] = [(3.0 * pow2(102) + 3.0 * pow2(51)).to_bits(); 4];
    words[12] = [(1 << 51) - 1; 4];
    words[13] = [pow2(52).to_bits(); 4];
    words[14] = [(pow2(52) + pow2(50) + 256.0).to_bits(); 4];
    words[15] = [(pow2(52) + pow2(50) + 19.0 * 256.0).to_bits(); 4];
    words[16] = [19; 4];
    Constants(words)
}

/// 2 to a power that a double has.
pub(super) const fn pow2(exponent: u64) -> f64 {
    f64::from_bits((exponent + 1023) << 52)
}

static PRODUCT: Constants = constants(OF_PRODUCT);
static SQUARE: Constants = constants(OF_SQUARE);

// ymm0-4: columns 0 to 4; ymm5, ymm6: the two columns above in turn; ymm7, ymm8: h and l; ymm9, ymm10: the constants
// that cut; ymm11-15: the limbs of the first factor. rdi, rsi: the factors; rdx: the result; rcx: the constants.

/// h and l of one product of limbs.
macro_rules! cut {
    ($x:literal, $y:literal) => {
        concat!(
            "vmovapd ymm7, ymm9\n",
            "vfmadd231pd ymm7, ",
            $x,
            ", [rsi+32*",
            $y,
            "]\n",
            "vsubpd ymm8, ymm10, ymm7\n",
            "vfmadd231pd ymm8, ",
            $x,
            ", [rsi+32*",
            $y,
            "]\n",
        )
    };
}

/// A product into a column and the next.
macro_rules! into {
    ($x:literal, $y:literal, $low:literal, $high:literal) => {
        concat!(cut!($x, $y), "vpaddq ", $low, ", ", $low, ", ymm8\n", "vpaddq ", $high, ", ", $high, ", ymm7\n",)
    };
}

/// The same where the next column, of this number, starts.
macro_rules! start {
    ($x:literal, $y:literal, $low:literal, $high:literal, $column:literal) => {
        concat!(
            cut!($x, $y),
            "vpaddq ",
            $low,
            ", ",
            $low,
            ", ymm8\n",
            "vpaddq ",
            $high,
            ", ymm7, [rcx+32*",
            $column,
            "]\n",
        )
    };
}

/// The same where both columns start.
macro_rules! first {
    ($x:literal) => {
        concat!(cut!($x, "0"), "vpaddq ymm0, ymm8, [rcx]\n", "vpaddq ymm1, ymm7, [rcx+32]\n")
    };
}

/// A column that is complete, 19 times, into the one five below.
macro_rules! fold {
    ($low:literal, $high:literal) => {
        concat!(
            "vpsllq ymm7, ",
            $high,
            ", 4\n",
            "vpaddq ymm8, ",
            $high,
            ", ",
            $high,
            "\n",
            "vpaddq ",
            $low,
            ", ",
            $low,
            ", ",
            $high,
            "\n",
            "vpaddq ymm7, ymm7, ymm8\n",
            "vpaddq ",
            $low,
            ", ",
            $low,
            ", ymm7\n",
        )
    };
}

macro_rules! limb {
    ($column:literal, $carry:literal, $less:literal, $at:literal) => {
        concat!(
            "vpand ymm8, ",
            $column,
            ", ymm11\n",
            "vpor ymm8, ymm8, ymm12\n",
            "vpaddq ymm8, ymm8, ",
            $carry,
            "\n",
            "vsubpd ymm8, ymm8, ",
            $less,
            "\n",
            "vmovapd [rdx+32*",
            $at,
            "], ymm8\n",
        )
    };
}

/// Carries out of all columns at once, and the limbs.
macro_rules! limbs {
    () => {
        concat!(
            "vmovdqa ymm11, [rcx+384]\n",
            "vmovdqa ymm12, [rcx+416]\n",
            "vmovapd ymm13, [rcx+448]\n",
            "vpsrlq ymm7, ymm4, 51\n",
            "vpmuludq ymm7, ymm7, [rcx+512]\n",
            "vpsrlq ymm9, ymm0, 51\n",
            "vpsrlq ymm10, ymm1, 51\n",
            "vpsrlq ymm14, ymm2, 51\n",
            "vpsrlq ymm15, ymm3, 51\n",
            limb!("ymm0", "ymm7", "[rcx+480]", "0"),
            limb!("ymm1", "ymm9", "ymm13", "1"),
            limb!("ymm2", "ymm10", "ymm13", "2"),
            limb!("ymm3", "ymm14", "ymm13", "3"),
            limb!("ymm4", "ymm15", "ymm13", "4"),
        )
    };
}

macro_rules! load {
    () => {
        concat!(
            "vmovapd ymm9, [rcx+320]\n",
            "vmovapd ymm10, [rcx+352]\n",
            "vmovapd ymm11, [rdi]\n",
            "vmovapd ymm12, [rdi+32]\n",
            "vmovapd ymm13, [rdi+64]\n",
            "vmovapd ymm14, [rdi+96]\n",
            "vmovapd ymm15, [rdi+128]\n",
        )
    };
}

/// Calls one of the two routines below, for the compiler a piece of text that loses all vector registers. A call in
/// Rust would do more: the compiler would clear the upper halves of the registers around it. The clobbers are named by
/// their lower halves, which is all that a function without AVX may name; the upper halves are lost along with them.
macro_rules! call {
    ($routine:ident, $a:expr, $b:expr, $out:expr, $constants:expr) => {
        // SAFETY: as the caller promises. The routine reads the 160 aligned bytes of
        // each argument and the constants, writes all 160 bytes of the result, and changes no register but those named.
        unsafe {
            std::arch::asm!(
                "call {routine}",
                routine = sym $routine,
                in("rdi") $a, in("rsi") $b, in("rdx") $out, in("rcx") $constants,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(preserves_flags)
            );
        }
    };
}

/// a times b to `out`, limbs as `Field::mul` allows.
///
/// # Safety
/// `out` can be written to, and the processor has AVX2 and FMA.
#[inline(always)]
pub(super) unsafe fn mul(a: &Fe4, b: &Fe4, out: *mut Fe4) {
    call!(product, std::ptr::from_ref(a), std::ptr::from_ref(b), out, &raw const PRODUCT);
}

/// a times a to `out`, which may be the place of a; limbs as `Field::sqr` allows.
///
/// # Safety
/// `a` can be read, `out` can be written to, and the processor has AVX2 and FMA.
#[inline(always)]
pub(super) unsafe fn sqr(a: *const Fe4, out: *mut Fe4) {
    call!(square, a, a, out, &raw const SQUARE);
}

/// The product of the elements at rdi and rsi to rdx; rcx has the constants. Called as `call` says, in no other way.
#[unsafe(naked)]
extern "sysv64" fn product() {
    naked_asm!(
        load!(),
        first!("ymm11"),
        start!("ymm11", "1", "ymm1", "ymm2", "2"),
        into!("ymm12", "0", "ymm1", "ymm2"),
        start!("ymm11", "2", "ymm2", "ymm3", "3"),
        into!("ymm12", "1", "ymm2", "ymm3"),
        into!("ymm13", "0", "ymm2", "ymm3"),
        start!("ymm11", "3", "ymm3", "ymm4", "4"),
        into!("ymm12", "2", "ymm3", "ymm4"),
        into!("ymm13", "1", "ymm3", "ymm4"),
        into!("ymm14", "0", "ymm3", "ymm4"),
        start!("ymm11", "4", "ymm4", "ymm5", "5"),
        into!("ymm12", "3", "ymm4", "ymm5"),
        into!("ymm13", "2", "ymm4", "ymm5"),
        into!("ymm14", "1", "ymm4", "ymm5"),
        into!("ymm15", "0", "ymm4", "ymm5"),
        start!("ymm12", "4", "ymm5", "ymm6", "6"),
        into!("ymm13", "3", "ymm5", "ymm6"),
        into!("ymm14", "2", "ymm5", "ymm6"),
        into!("ymm15", "1", "ymm5", "ymm6"),
        fold!("ymm0", "ymm5"),
        start!("ymm13", "4", "ymm6", "ymm5", "7"),
        into!("ymm14", "3", "ymm6", "ymm5"),
        into!("ymm15", "2", "ymm6", "ymm5"),
        fold!("ymm1", "ymm6"),
        start!("ymm14", "4", "ymm5", "ymm6", "8"),
        into!("ymm15", "3", "ymm5", "ymm6"),
        fold!("ymm2", "ymm5"),
        start!("ymm15", "4", "ymm6", "ymm5", "9"),
        fold!("ymm3", "ymm6"),
        fold!("ymm4", "ymm5"),
        limbs!(),
        "ret"
    )
}

/// The square of the element at rdi, likewise. Every product of two different limbs is taken once, of the doubled limb.
#[unsafe(naked)]
extern "sysv64" fn square() {
    naked_asm!(
        load!(),
        first!("ymm11"),
        "vaddpd ymm11, ymm11, ymm11",
        start!("ymm11", "1", "ymm1", "ymm2", "2"),
        start!("ymm11", "2", "ymm2", "ymm3", "3"),
        into!("ymm12", "1", "ymm2", "ymm3"),
        "vaddpd ymm12, ymm12, ymm12",
        start!("ymm11", "3", "ymm3", "ymm4", "4"),
        into!("ymm12", "2", "ymm3", "ymm4"),
        start!("ymm11", "4", "ymm4", "ymm5", "5"),
        into!("ymm12", "3", "ymm4", "ymm5"),
        into!("ymm13", "2", "ymm4", "ymm5"),
        "vaddpd ymm13, ymm13, ymm13",
        start!("ymm12", "4", "ymm5", "ymm6", "6"),
        into!("ymm13", "3", "ymm5", "ymm6"),
        fold!("ymm0", "ymm5"),
        start!("ymm13", "4", "ymm6", "ymm5", "7"),
        into!("ymm14", "3", "ymm6", "ymm5"),
        fold!("ymm1", "ymm6"),
        "vaddpd ymm14, ymm14, ymm14",
        start!("ymm14", "4", "ymm5", "ymm6", "8"),
        fold!("ymm2", "ymm5"),
        start!("ymm15", "4", "ymm6", "ymm5", "9"),
        fold!("ymm3", "ymm6"),
        fold!("ymm4", "ymm5"),
        limbs!(),
        "ret"
    )
}
