//! The arithmetic of integers modulo 2^255 - 19 in vectors of four elements and of eight, with the instructions that
//! multiply 52 bits and add (AVX-512 IFMA).
//!
//! Of two factors below 2^52 one instruction adds the low 52 bits of the product to a sum of 64 bits, another one the
//! bits above them. Limbs are 51 bits apart, so the bits above count twice, one column up. Columns 5 to 9 come back times
//! 19, for 2^255 = 19. A sum of columns then is below 2^61, and it is left as it is: *open*. `bounds.rs` has the proof.

/// What one list of products of limbs adds to the columns: for each pair (i, j) the low bits to column i + j of the first
/// sum, the bits above to column i + j + 1 of the second.
macro_rules! products {
    ($low:ident $high:ident, $a:ident $b:ident, $lows:ident $highs:ident: $(($i:literal $j:literal))*) => {
        $(
            $lows[$i + $j] = $low($lows[$i + $j], $a[$i], $b[$j]);
            $highs[$i + $j + 1] = $high($highs[$i + $j + 1], $a[$i], $b[$j]);
        )*
    };
}

/// The arithmetic for one width of vectors. What is here has no features of its own: it becomes part of the function that
/// calls it, and that one must have them.
macro_rules! arithmetic {
    ($name:ident, $vector:ident, $zero:ident $set:ident $add:ident $sub:ident $and:ident $left:ident $right:ident
     $multiply:ident $low:ident $high:ident) => {
        pub(super) mod $name {
            use std::arch::x86_64::{$add, $and, $high, $left, $low, $multiply, $right, $set, $sub, $vector, $zero};

            use crate::lanes::fi::MULTIPLE;
            use crate::lanes::field::{MASK, limbs};

            /// Five limbs of every element.
            pub(crate) type Limbs = [$vector; 5];

            /// Sum, not carried.
            ///
            /// # Safety
            /// The caller has the instructions for vectors of this width.
            #[inline(always)]
            pub(crate) unsafe fn sum(a: &Limbs, b: &Limbs) -> Limbs {
                // SAFETY: as the caller promises.
                unsafe { limbs!(AT => $add(a[AT], b[AT])) }
            }

            /// Difference, not carried: plus a multiple of p whose limbs are larger than those of b.
            ///
            /// # Safety
            /// As for `sum`.
            #[inline(always)]
            pub(crate) unsafe fn difference(a: &Limbs, b: &Limbs) -> Limbs {
                // SAFETY: as the caller promises.
                unsafe { limbs!(AT => $sub($add(a[AT], $set(MULTIPLE[AT].cast_signed())), b[AT])) }
            }

            /// What is over 51 bits of each limb, one limb up.
            ///
            /// # Safety
            /// As for `sum`.
            #[inline(always)]
            pub(crate) unsafe fn carried(limbs: &Limbs) -> Limbs {
                // SAFETY: as the caller promises.
                unsafe {
                    let (mask, nineteen) = ($set(MASK), $set(19));
                    let up = limbs!(AT => $right(limbs[AT], 51));
                    limbs!(AT => {
                        let up = if AT == 0 { $multiply(up[4], nineteen) } else { up[(AT + 4) % 5] };
                        $add($and(limbs[AT], mask), up)
                    })
                }
            }

            /// Open product of factors.
            ///
            /// # Safety
            /// As for `sum`, and the caller has AVX-512 IFMA.
            #[inline(always)]
            pub(crate) unsafe fn product(a: &Limbs, b: &Limbs) -> Limbs {
                // SAFETY: as the caller promises.
                unsafe {
                    let (mut one, mut two) = ([$zero(); 10], [$zero(); 10]);
                    products!($low $high, a b, one two:
                        (0 0) (0 1) (0 2) (0 3) (0 4) (1 0) (1 1) (1 2) (1 3) (1 4) (2 0) (2 1) (2 2) (2 3) (2 4)
                        (3 0) (3 1) (3 2) (3 3) (3 4) (4 0) (4 1) (4 2) (4 3) (4 4));
                    folded(&one, &two)
                }
            }

            /// Open square of a factor.
            ///
            /// # Safety
            /// As for `product`.
            #[inline(always)]
            pub(crate) unsafe fn square(a: &Limbs) -> Limbs {
                // SAFETY: as the caller promises.
                unsafe {
                    let (mut one, mut two, mut four) = ([$zero(); 10], [$zero(); 10], [$zero(); 10]);
                    products!($low $high, a a, two four:
                        (0 1) (0 2) (0 3) (0 4) (1 2) (1 3) (1 4) (2 3) (2 4) (3 4));
                    products!($low $high, a a, one two: (0 0) (1 1) (2 2) (3 3) (4 4));
                    for (two, four) in two.iter_mut().zip(four) {
                        *two = $add(*two, $add(four, four));
                    }
                    folded(&one, &two)
                }
            }

            /// The sum of what counts once and what counts twice in columns 0 to 4, and 19 times that of columns 5 to 9.
            ///
            /// # Safety
            /// As for `sum`.
            #[inline(always)]
            unsafe fn folded(one: &[$vector; 10], two: &[$vector; 10]) -> Limbs {
                // SAFETY: as the caller promises.
                unsafe {
                    limbs!(AT => {
                        let over = $add(one[AT + 5], $add(two[AT + 5], two[AT + 5]));
                        let three = $add($add(over, over), over);
                        $add($add($add(one[AT], $add(two[AT], two[AT])), three), $left(over, 4))
                    })
                }
            }
        }
    };
}

arithmetic!(four, __m256i, _mm256_setzero_si256 _mm256_set1_epi64x _mm256_add_epi64 _mm256_sub_epi64 _mm256_and_si256
    _mm256_slli_epi64 _mm256_srli_epi64 _mm256_mul_epu32 _mm256_madd52lo_epu64 _mm256_madd52hi_epu64);
arithmetic!(eight, __m512i, _mm512_setzero_si512 _mm512_set1_epi64 _mm512_add_epi64 _mm512_sub_epi64 _mm512_and_si512
    _mm512_slli_epi64 _mm512_srli_epi64 _mm512_mul_epu32 _mm512_madd52lo_epu64 _mm512_madd52hi_epu64);
