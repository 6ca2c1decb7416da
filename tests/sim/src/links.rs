//! Which node can reach which: every direction of every pair by itself, so that a network can
//! fall apart in two, in one direction only, in part, and again and again.

use super::dice::Dice;

/// How the network falls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splits {
    /// It does not.
    Never,
    /// In two, anyhow, changing every second or so.
    AtRandom,
    /// Most of the time in two, with half of the honest nodes and one node of every pair of twins
    /// on each side, so that each side hears its own story. Other liars hear and reach both.
    AlongTheLiars,
    /// Some nodes hear nobody, some are heard by nobody, some single ways lead nowhere.
    OneWay,
    /// Everybody reaches somebody and nobody everybody: a ring, or two sides and one bridge.
    Partial,
    /// Single links come and go many times a second.
    Flapping,
    /// One honest node sees the liars and nobody else.
    Eclipse,
    /// Another one of these every time.
    Changing,
}

impl Splits {
    /// All of them, for a seed to choose from.
    pub const ALL: [Self; 8] = [
        Self::Never,
        Self::AtRandom,
        Self::AlongTheLiars,
        Self::OneWay,
        Self::Partial,
        Self::Flapping,
        Self::Eclipse,
        Self::Changing,
    ];
}

/// What the network has to know of a node to fall apart around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whether it keeps the rules.
    pub honest: bool,
    /// On which side of a split along the liars it stands; none: on both.
    pub side: Option<usize>,
}

/// See the module.
#[derive(Debug)]
pub struct Links {
    places: Vec<Place>,
    cut: Vec<bool>,
}

impl Links {
    /// A whole network.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        let cut = vec![false; places.len() * places.len()];
        Self { places, cut }
    }

    /// Whether a packet finds its way.
    #[must_use]
    pub fn lead(&self, from: usize, to: usize) -> bool {
        !self.cut[from * self.places.len() + to]
    }

    /// Everybody reaches everybody.
    pub fn heal(&mut self) {
        self.cut.fill(false);
    }

    /// Falls apart in another way. Says how, for the history.
    pub fn change(&mut self, splits: Splits, dice: &mut Dice) -> Vec<u64> {
        let splits = match splits {
            Splits::Changing => Splits::ALL[dice.index(Splits::ALL.len() - 1)],
            other => other,
        };
        self.heal();
        match splits {
            Splits::Never | Splits::Changing => {}
            Splits::AtRandom => self.in_two(dice),
            Splits::AlongTheLiars => self.along_the_liars(dice),
            Splits::OneWay => self.one_way(dice),
            Splits::Partial => self.partly(dice),
            Splits::Flapping => self.flap(dice),
            Splits::Eclipse => self.eclipse(dice),
        }
        self.cut.chunks(64).map(|bits| bits.iter().fold(0, |n, b| n << 1 | u64::from(*b))).collect()
    }

    fn nodes(&self) -> usize {
        self.places.len()
    }

    fn cut(&mut self, from: usize, to: usize) {
        let n = self.nodes();
        self.cut[from * n + to] = from != to;
    }

    /// Cuts both ways between all pairs for which it is said.
    fn cut_between(&mut self, apart: impl Fn(usize, usize) -> bool) {
        for from in 0..self.nodes() {
            for to in 0..self.nodes() {
                if apart(from, to) {
                    self.cut(from, to);
                }
            }
        }
    }

    fn in_two(&mut self, dice: &mut Dice) {
        let sides: Vec<u64> = (0..self.nodes()).map(|_| dice.below(2)).collect();
        if dice.chance(50) {
            self.cut_between(|a, b| sides[a] != sides[b]);
        }
    }

    fn along_the_liars(&mut self, dice: &mut Dice) {
        let sides: Vec<Option<usize>> = self.places.iter().map(|place| place.side).collect();
        if dice.chance(75) {
            let apart = |a: Option<usize>, b: Option<usize>| {
                a.zip(b).is_some_and(|(one, other)| one != other)
            };
            self.cut_between(|a, b| apart(sides[a], sides[b]));
        }
    }

    fn one_way(&mut self, dice: &mut Dice) {
        for node in 0..self.nodes() {
            let fate = dice.below(6);
            for other in 0..self.nodes() {
                match fate {
                    0 => self.cut(other, node),
                    1 => self.cut(node, other),
                    _ if dice.chance(15) => self.cut(node, other),
                    _ => {}
                }
            }
        }
    }

    fn partly(&mut self, dice: &mut Dice) {
        let n = self.nodes();
        let start = dice.index(n);
        if dice.chance(50) {
            // A ring: everybody hears two neighbours.
            let far = |a: usize, b: usize| (a + n - b) % n > 1 && (b + n - a) % n > 1;
            self.cut_between(far);
        } else {
            // Two sides, and one that hears both.
            let side = |a: usize| (a + n - start) % n * 2 / n;
            self.cut_between(|a, b| a != start && b != start && side(a) != side(b));
        }
    }

    fn flap(&mut self, dice: &mut Dice) {
        for from in 0..self.nodes() {
            for to in 0..from {
                if dice.chance(40) {
                    self.cut(from, to);
                    self.cut(to, from);
                }
            }
        }
    }

    fn eclipse(&mut self, dice: &mut Dice) {
        let honest: Vec<usize> = (0..self.nodes()).filter(|i| self.places[*i].honest).collect();
        let victim = honest[dice.index(honest.len())];
        for other in honest {
            self.cut(other, victim);
            self.cut(victim, other);
        }
    }
}
