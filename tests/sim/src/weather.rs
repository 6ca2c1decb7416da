//! What goes wrong, and when: links, machines, disks and clocks, every second or so, until it
//! heals.

use super::{
    clock::either_way,
    disk::Trouble,
    links::Splits,
    plan::JUMP_MS,
    world::{Event, World},
};

/// A doomed node crashes within so many effects: two rounds or so.
const DOOM: u64 = 30;
/// A node that stands still does so for less than that, in milliseconds: longer than a round.
const LONGEST_PAUSE_MS: u64 = 10_000;

impl World {
    /// Changes the weather, and has it change again.
    pub(super) fn weather(&mut self) {
        if self.healed {
            return;
        }
        let cut = self.links.change(self.plan.splits, &mut self.dice);
        self.note("weather", &cut);
        if self.plan.crashes {
            self.doom();
        }
        if self.plan.pauses && self.dice.chance(20) {
            let victim = self.dice.index(self.nodes.len());
            self.nodes[victim].paused_until = self.now_ms + self.dice.below(LONGEST_PAUSE_MS);
            self.report.pauses += 1;
        }
        if self.plan.trouble {
            self.trouble();
        }
        if self.plan.fragile > 0 {
            self.damage();
        }
        if self.plan.jumpers > 0 && self.dice.chance(30) {
            let jumper = self.dice.index(self.plan.jumpers);
            let by_ms = either_way(JUMP_MS, &mut self.dice);
            self.nodes[jumper].clock.jump(by_ms);
            self.report.jumps += 1;
        }
        let pause = match self.plan.splits {
            Splits::Flapping => self.dice.between(50, 250),
            _ => self.dice.between(200, 1_200),
        };
        self.at(pause, Event::Weather);
    }

    /// One node is to crash soon, or all are.
    fn doom(&mut self) {
        let all = self.dice.chance(5);
        let one = if self.dice.chance(60) { Some(self.dice.index(self.nodes.len())) } else { None };
        for victim in 0..self.nodes.len() {
            if all || one == Some(victim) {
                self.nodes[victim].doom = Some(self.dice.below(DOOM));
            }
        }
    }

    /// One disk is mended, another one begins to fail.
    fn trouble(&mut self) {
        let mended = self.dice.index(self.nodes.len());
        self.nodes[mended].disk.trouble = None;
        if self.dice.chance(40) {
            let victim = self.dice.index(self.nodes.len());
            let full = self.dice.chance(50);
            let trouble = if full { Trouble::Full } else { Trouble::FailingSync };
            self.nodes[victim].disk.trouble = Some(trouble);
        }
    }

    /// Bits of a fragile disk turn, which is noticed when the node is started next; or it comes back
    /// as it was once.
    fn damage(&mut self) {
        let seats = self.plan.fragile_seats();
        let victim = seats.start + self.dice.index(seats.len());
        let fate = self.dice.below(100);
        if self.nodes[victim].memory.is_none() {
            return;
        }
        match fate {
            0..15 => {
                self.crash(victim);
                let disk = &mut self.nodes[victim].disk;
                disk.flip(&mut self.dice);
                self.report.flips += 1;
            }
            15..35 => self.nodes[victim].disk.back_up(),
            35..55 => {
                self.crash(victim);
                let log_alone = self.dice.chance(50);
                if self.nodes[victim].disk.restore(log_alone) {
                    self.witness.forgive(victim);
                    self.report.restored += 1;
                    self.note("restored", &[victim as u64, u64::from(log_alone)]);
                }
            }
            _ => {}
        }
    }

    /// Everything is as it should be again, but for the liars.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.links.heal();
        for node in &mut self.nodes {
            node.doom = None;
            node.paused_until = 0;
            node.disk.trouble = None;
            node.clock.set_right(&self.plan, &mut self.dice);
        }
        let goal = self.witness.highest() + self.plan.goal;
        self.goal = Some(goal.max(self.plan.least));
        self.note("heal", &[]);
    }
}
