//! Points of the twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2, by formulas that hold for every pair of points.
//!
//! The formulas are those of Hisil, Wong, Carter and Dawson (2008) for a = -1, with every factor halved: entries of
//! tables hold (y + x) / 2, (y - x) / 2 and d x y, so that no coordinate is doubled and one carry less is needed.
//! They are written for any `Field`, so that `bounds.rs` proves the sizes of what is computed here, not of a copy.

use super::field::Field;

/// A point as X/Z, Y/Z and the two factors of T = XY/Z: a doubling has no use for T, so T waits until it is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point<F> {
    pub(super) x: F,
    pub(super) y: F,
    pub(super) z: F,
    pub(super) e: F,
    pub(super) h: F,
}

/// An affine point prepared for addition: (y + x) / 2, (y - x) / 2, d x y.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine<F> {
    pub(super) plus: F,
    pub(super) minus: F,
    pub(super) product: F,
}

/// A point as X/Z, Y/Z and T = XY/Z: the form in which a sum waits in memory for its next term.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extended<F> {
    pub(super) x: F,
    pub(super) y: F,
    pub(super) z: F,
    pub(super) t: F,
}

/// A point prepared for additions: Y + X, Y - X, 2 Z, 2 d T.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cached<F> {
    pub(super) plus: F,
    pub(super) minus: F,
    pub(super) twice_z: F,
    pub(super) product: F,
}

/// Room for what an addition computes on its way; what is in it does not matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare<F>(pub(super) [F; 4]);

impl<F: Field> Point<F> {
    /// The point of affine coordinates.
    #[inline(always)]
    pub(super) fn new(x: F, y: F, one: F) -> Self {
        Self { x, y, z: one, e: x, h: y }
    }

    /// The point that adds nothing.
    #[inline(always)]
    pub(super) fn identity(one: F) -> Self {
        let zero = one.sub(&one).carry();
        Self::new(zero, one, one)
    }

    /// The point of an entry.
    #[inline(always)]
    pub(super) fn from_affine(entry: &Affine<F>, one: F) -> Self {
        Self::new(entry.plus.sub(&entry.minus).carry(), entry.plus.add(&entry.minus).carry(), one)
    }

    #[inline(always)]
    fn plus(&mut self, plus: &F, minus: &F, product: &F, spare: &mut Spare<F>) {
        let Self { x, y, z, e, h } = self;
        let Spare([t, a, b, c]) = spare;
        // A product takes longer than the next one can wait for it, so none stands right after one that it needs.
        e.mul_to(h, t);
        y.sub(x).settled().mul_open(minus, a);
        y.add(x).settled().mul_open(plus, b);
        t.mul_open(product, c);
        // Of E, F, G, H each is multiplied by both of its neighbors in the ring; of two neighbors one must be tight.
        let (f, g) = (z.sub(c).settled(), z.add(c).carry());
        (*e, *h) = (b.sub(a).carry(), b.add(a).settled());
        self.close(&f, &g);
    }

    /// The point of E, F, G, H.
    #[inline(always)]
    fn close(&mut self, f: &F, g: &F) {
        self.e.mul_to(f, &mut self.x);
        self.h.mul_to(g, &mut self.y);
        f.mul_to(g, &mut self.z);
    }

    /// Adds an entry.
    #[inline(always)]
    pub(super) fn add_affine(&mut self, entry: &Affine<F>, spare: &mut Spare<F>) {
        self.plus(&entry.plus, &entry.minus, &entry.product, spare);
    }

    /// Adds another point.
    #[inline(always)]
    pub(super) fn add_cached(&mut self, other: &Cached<F>) {
        self.z = self.z.mul(&other.twice_z);
        let mut spare = Spare([self.z; 4]);
        self.plus(&other.plus, &other.minus, &other.product, &mut spare);
    }

    /// Doubles the point.
    #[inline(always)]
    pub(super) fn double(&mut self) {
        let (a, b, c) = (self.x.sqr_open(), self.y.sqr_open(), self.z.sqr_open());
        self.x.mul_open(&self.y, &mut self.e);
        let g = b.sub(&a).settled();
        let f = c.add(&c).sub(&g).carry();
        (self.e, self.h) = (self.e.add(&self.e).settled(), a.add(&b).carry());
        self.close(&f, &g);
    }

    /// The same point, with its T.
    #[inline(always)]
    pub(super) fn extended(&self) -> Extended<F> {
        Extended { x: self.x, y: self.y, z: self.z, t: self.e.mul(&self.h) }
    }

    /// Self, prepared for additions. `twice_d` is 2 d.
    #[inline(always)]
    pub(super) fn cached(&self, twice_d: &F) -> Cached<F> {
        self.extended().cached(twice_d)
    }
}

impl<F: Field> Affine<F> {
    /// The entry of affine coordinates, tight. `half` is 1 / 2.
    #[inline(always)]
    pub(super) fn new(x: &F, y: &F, half: &F, d: &F) -> Self {
        let (half_x, half_y) = (x.mul(half), y.mul(half));
        Self { plus: half_y.add(&half_x).carry(), minus: half_y.sub(&half_x).carry(), product: x.mul(y).mul(d) }
    }
}

impl<F: Field> Extended<F> {
    /// Adds an entry, which may be tight where those of tables are at most 2^50 a limb.
    #[inline(always)]
    pub(super) fn add_affine(&mut self, entry: &Affine<F>, spare: &mut Spare<F>) {
        let Self { x, y, z, t } = self;
        let Spare([a, b, c, _]) = spare;
        y.sub(x).settled().mul_open(&entry.minus, a);
        y.add(x).settled().mul_open(&entry.plus, b);
        t.mul_open(&entry.product, c);
        // E and G are tight, so that of two neighbors in the ring E, F, G, H one is; T takes E and H.
        let (e, f) = (b.sub(a).carry(), z.sub(c).settled());
        let (g, h) = (z.add(c).carry(), b.add(a).settled());
        e.mul_to(&f, x);
        h.mul_to(&g, y);
        f.mul_to(&g, z);
        e.mul_to(&h, t);
    }

    /// Self, prepared for additions. `twice_d` is 2 d.
    #[inline(always)]
    pub(super) fn cached(&self, twice_d: &F) -> Cached<F> {
        Cached {
            plus: self.y.add(&self.x).carry(),
            minus: self.y.sub(&self.x).carry(),
            twice_z: self.z.add(&self.z).carry(),
            product: self.t.mul(twice_d),
        }
    }
}

impl<F: Field> Cached<F> {
    /// The negative point, prepared.
    #[inline(always)]
    pub(super) fn negated(&self) -> Self {
        let zero = self.product.sub(&self.product);
        Self { plus: self.minus, minus: self.plus, twice_z: self.twice_z, product: zero.sub(&self.product).settled() }
    }
}

/// `value` squared `times` times.
#[inline(always)]
fn squared<F: Field>(value: &F, times: usize) -> F {
    let mut value = *value;
    value.sqr_times(times);
    value
}

/// `value` to the power of (p - 5) / 8 = 2^252 - 3.
fn power<F: Field>(value: &F) -> F {
    let two = value.sqr();
    let nine = squared(&two, 2).mul(value);
    let eleven = nine.mul(&two);
    let five_bits = eleven.sqr().mul(&nine);
    let ten = squared(&five_bits, 5).mul(&five_bits);
    let twenty = squared(&ten, 10).mul(&ten);
    let forty = squared(&twenty, 20).mul(&twenty);
    let fifty = squared(&forty, 10).mul(&ten);
    let hundred = squared(&fifty, 50).mul(&fifty);
    let two_hundred = squared(&hundred, 100).mul(&hundred);
    let all = squared(&two_hundred, 50).mul(&fifty);
    squared(&all, 2).mul(value)
}

/// 1 / value, and 0 for 0: the power p - 2 = 8 (2^252 - 3) + 3.
pub(super) fn inverted<F: Field>(value: &F) -> F {
    squared(&power(value), 3).mul(&value.sqr().mul(value))
}

/// For a y: u = y^2 - 1 and v = d y^2 + 1, whose quotient is x^2, and r with r^2 = u / v or r^2 = -u / v if it is one.
pub(super) fn root_candidate<F: Field>(y: &F, one: &F, d: &F) -> (F, F, F) {
    let square = y.sqr();
    let (u, v) = (square.sub(one).carry(), square.mul(d).add(one).carry());
    let cube = v.sqr().mul(&v);
    let seventh = cube.sqr().mul(&v);
    let r = u.mul(&cube).mul(&power(&u.mul(&seventh)));
    (u, v, r)
}
