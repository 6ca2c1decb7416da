//! The cables between the nodes' namespaces, and what can be wrong with them.
//!
//! Every node has one cable to a switch (a bridge in a namespace of its own, the hub). What is
//! wrong is said to the kernel at the node's end: `nft` for lost and refused packets, `tc` for a
//! narrow line, `ip` for a pulled cable. Delay is not here: not every kernel can delay packets,
//! so that is [`super::relay`]'s.

use std::{fmt::Write as _, io};

use super::space::Space;

/// Port on which the nodes listen for each other.
pub const PEER_PORT: u16 = 8_301;
/// The hub's address, and the sender of all that comes through a relay.
const HUB: &str = "10.99.0.254";

/// The address of node `n`.
#[must_use]
pub fn address(n: usize) -> String {
    format!("10.99.0.{}", n + 1)
}

/// The hub's address at which a relay leads to node `n`.
#[must_use]
pub fn relayed_address(n: usize) -> String {
    format!("10.99.1.{}", n + 1)
}

/// What a node does with packets that come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss<'a> {
    /// Drops all from these nodes.
    AllFrom(&'a [usize]),
    /// Drops so many of a hundred from the other nodes, at random.
    Percent(u32),
    /// Answers so many of a thousand from the other nodes with a reset of their connection.
    ResetPerMille(u32),
    /// Refuses all connections but those through the relay.
    AllButRelayed,
}

/// The hub and its cables.
#[derive(Debug)]
pub struct Wires {
    hub: Space,
    ends: Vec<Space>,
}

impl Wires {
    /// A hub and `count` namespaces, each with a cable to it.
    ///
    /// # Errors
    ///
    /// When this user may not, or a tool is missing.
    pub fn new(count: usize) -> io::Result<Self> {
        let hub = Space::new()?;
        let mut batch = format!("link add br0 type bridge\naddr add {HUB}/16 dev br0\n");
        let ends = (0..count).map(|_| Space::new()).collect::<io::Result<Vec<_>>>()?;
        for (n, end) in ends.iter().enumerate() {
            let (relayed, path) = (relayed_address(n), end.path());
            let _ = writeln!(batch, "addr add {relayed}/16 dev br0");
            let _ = writeln!(batch, "link add to{n} type veth peer name eth0 netns {path}");
            let _ = writeln!(batch, "link set to{n} master br0 up");
        }
        batch.push_str("link set br0 up\n");
        hub.tell("ip", &["-batch", "-"], &batch)?;
        for (n, end) in ends.iter().enumerate() {
            let own = format!("addr add {}/16 dev eth0\nlink set eth0 up\n", address(n));
            end.tell("ip", &["-batch", "-"], &own)?;
        }
        Ok(Self { hub, ends })
    }

    /// The namespace of the hub.
    #[must_use]
    pub fn hub(&self) -> &Space {
        &self.hub
    }

    /// The namespace of node `n`.
    #[must_use]
    pub fn end(&self, n: usize) -> &Space {
        &self.ends[n]
    }

    /// Whether this machine can lose packets (`nft`, with random numbers).
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn can_lose(&self) -> io::Result<()> {
        self.lose(0, Loss::Percent(1))?;
        self.mend(0)
    }

    /// Has node `n` lose packets from now on, instead of whatever it lost before.
    ///
    /// # Errors
    ///
    /// What `nft` says.
    pub fn lose(&self, n: usize, loss: Loss<'_>) -> io::Result<()> {
        let others: Vec<String> = (0..self.ends.len()).filter(|o| *o != n).map(address).collect();
        let from = |nodes: &[String]| format!("ip saddr {{ {} }}", nodes.join(", "));
        let rule = match loss {
            Loss::AllFrom([]) => String::new(),
            Loss::AllFrom(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(|o| address(*o)).collect();
                format!("{} drop", from(&nodes))
            }
            Loss::Percent(of_100) => {
                format!("{} numgen random mod 100 < {of_100} drop", from(&others))
            }
            Loss::ResetPerMille(of_1000) => format!(
                "{} tcp flags & rst == 0 numgen random mod 1000 < {of_1000} reject with tcp reset",
                from(&others)
            ),
            Loss::AllButRelayed => {
                format!("{} tcp flags & rst == 0 reject with tcp reset", from(&others))
            }
        };
        let table = format!(
            "table ip faults {{}}\ndelete table ip faults\ntable ip faults {{\nchain in {{\n\
             type filter hook input priority 0; policy accept;\n{rule}\n}}\n}}\n"
        );
        self.ends[n].tell("nft", &["-f", "-"], &table)
    }

    /// Node `n` loses nothing any more.
    ///
    /// # Errors
    ///
    /// What `nft` says.
    pub fn mend(&self, n: usize) -> io::Result<()> {
        self.lose(n, Loss::AllFrom(&[]))
    }

    /// Splits the nodes: each hears only those of its own group.
    ///
    /// # Errors
    ///
    /// What `nft` says.
    pub fn split(&self, groups: &[&[usize]]) -> io::Result<()> {
        for n in 0..self.ends.len() {
            let friends = groups.iter().find(|group| group.contains(&n)).copied().unwrap_or(&[]);
            let strangers: Vec<usize> =
                (0..self.ends.len()).filter(|o| *o != n && !friends.contains(o)).collect();
            self.lose(n, Loss::AllFrom(&strangers))?;
        }
        Ok(())
    }

    /// Pulls the cable of node `n`, or plugs it in again.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn plug(&self, n: usize, up: bool) -> io::Result<()> {
        let state = if up { "up" } else { "down" };
        self.ends[n].tell("ip", &["link", "set", "eth0", state], "")
    }

    /// Gives the cable of node `n` so many kilobits a second out of it; 0 is no limit.
    ///
    /// # Errors
    ///
    /// What `tc` says.
    pub fn narrow(&self, n: usize, kbit: u32) -> io::Result<()> {
        if kbit == 0 {
            return self.ends[n].tell("tc", &["qdisc", "del", "dev", "eth0", "root"], "");
        }
        let rate = format!("{kbit}kbit");
        let shape = ["rate", &rate, "burst", "16kb", "latency", "400ms"];
        let command = [&["qdisc", "replace", "dev", "eth0", "root", "tbf"][..], &shape].concat();
        self.ends[n].tell("tc", &command, "")
    }
}
