//! The mesh of a gossip topic: to whom each node passes on what others have said.
//!
//! Grown as gossipsub 1.1 grows it: a node with too few neighbours grafts random ones, one with too
//! many prunes random ones, heartbeat after heartbeat, until nobody has to. All nodes are connected
//! with all, as validators are, so its own messages a node sends to everybody and not over the mesh
//! (flood publish). Not simulated: scores, which are equal among honest nodes, and back-off.

use std::collections::BTreeSet;

use crate::dice::Dice;

/// Neighbours that a node aims at: `GOSSIP_MESH` of the node's `network/limits.rs`.
pub const DEGREE: usize = 4;
/// Fewest: `GOSSIP_MESH_LOW`.
pub const LOW: usize = 3;
/// Most: `GOSSIP_MESH_HIGH`.
pub const HIGH: usize = 6;
/// Heartbeats after which a mesh of any size has long come to rest.
const HEARTBEATS: usize = 50;

/// See the module.
#[derive(Debug, Clone)]
pub struct Mesh {
    neighbours: Vec<BTreeSet<usize>>,
}

impl Mesh {
    /// A mesh of so many nodes.
    #[must_use]
    pub fn grown(nodes: usize, dice: &mut Dice) -> Self {
        let mut mesh = Self { neighbours: vec![BTreeSet::new(); nodes] };
        for _ in 0..HEARTBEATS {
            for node in 0..nodes {
                mesh.beat(node, dice);
            }
        }
        mesh
    }

    /// The neighbours of a node, ascending.
    pub fn of(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.neighbours[node].iter().copied()
    }

    /// How many neighbours a node has.
    #[must_use]
    pub fn degree(&self, node: usize) -> usize {
        self.neighbours[node].len()
    }

    fn beat(&mut self, node: usize, dice: &mut Dice) {
        let wanted = DEGREE.min(self.neighbours.len() - 1);
        if self.degree(node) < LOW.min(wanted) {
            let mut others: Vec<usize> = (0..self.neighbours.len())
                .filter(|other| *other != node && !self.neighbours[node].contains(other))
                .collect();
            while self.degree(node) < wanted && !others.is_empty() {
                let other = others.swap_remove(dice.index(others.len()));
                // A full one answers the graft with a prune.
                if self.degree(other) < HIGH {
                    self.neighbours[node].insert(other);
                    self.neighbours[other].insert(node);
                }
            }
        }
        while self.degree(node) > HIGH {
            let at = dice.index(self.degree(node));
            let other = *self.neighbours[node].iter().nth(at).expect("below the degree");
            self.neighbours[node].remove(&other);
            self.neighbours[other].remove(&node);
        }
    }
}
