//! Which ports the nodes of a network use, and who holds one that is taken.

use std::{fs, io::ErrorKind, net::TcpListener};

use crate::{devnet_file::DevnetNode, output::Failure};

/// Where the ports begin unless told otherwise.
pub(super) const DEFAULT_BASE: u16 = 8100;
/// From a node's HTTP port to its admin port.
const ADMIN: u16 = 100;
/// From a node's HTTP port to its port in the peer-to-peer network.
const P2P: u16 = 200;
/// Highest base: the last port of the last node must still exist.
pub(super) const HIGHEST_BASE: u16 = u16::MAX - P2P - 99;

/// The ports of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) admin: u16,
    pub(super) p2p: u16,
}

impl Ports {
    /// Those of node `number`, from 1, when the network's ports begin at `base`.
    pub(super) fn of(base: u16, number: usize) -> Self {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let http = base.saturating_add(number);
        Self { http, admin: http.saturating_add(ADMIN), p2p: http.saturating_add(P2P) }
    }

    pub(super) fn all(self) -> [u16; 3] {
        [self.http, self.admin, self.p2p]
    }

    /// The base from which node 1 has this peer-to-peer port.
    pub(super) fn base_of_p2p(port: u16) -> Option<u16> {
        port.checked_sub(P2P + 1)
    }
}

/// The ports of a node of `devnet.json`.
///
/// # Errors
///
/// When they cannot be read there.
pub(super) fn of_node(node: &DevnetNode) -> Result<Vec<u16>, Failure> {
    let port = |text: &str, mark: char| text.rsplit(mark).next().and_then(|p| p.parse().ok());
    let p2p = node.p2p.split("/tcp/").nth(1).and_then(|rest| rest.split('/').next());
    let found = [port(&node.http, ':'), port(&node.admin, ':'), p2p.and_then(|p| p.parse().ok())];
    found.into_iter().collect::<Option<Vec<u16>>>().ok_or_else(|| {
        Failure::usage(
            "damaged_devnet",
            format!("devnet.json does not say the ports of the node of {}", node.province),
            "write it again: symbolon devnet up --dir DIR",
        )
    })
}

/// Checks that all ports are free.
///
/// # Errors
///
/// When some are taken, naming their holders.
pub(super) fn refuse_taken(ports: &[u16], hint: &str) -> Result<(), Failure> {
    let taken: Vec<String> = ports
        .iter()
        .filter_map(|port| match TcpListener::bind(("127.0.0.1", *port)) {
            Ok(_) => None,
            Err(e) if e.kind() == ErrorKind::AddrInUse => {
                Some(format!("port {port} is taken by {}", holder(*port)))
            }
            Err(e) => Some(format!("port {port} cannot be used: {e}")),
        })
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(Failure::refused("port_taken", taken.join("\n       "), hint))
}

/// Who listens on a port, as far as this user may see.
fn holder(port: u16) -> String {
    let unknown = || "a process of another user".to_owned();
    let Some(inode) = inode_of(port) else { return "a process that cannot be seen".to_owned() };
    let wanted = format!("socket:[{inode}]");
    let Ok(entries) = fs::read_dir("/proc") else { return unknown() };
    for pid in entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let held = fds.flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|link| link.to_str() == Some(wanted.as_str()))
        });
        if held {
            return format!("process {pid} ({})", command_line(pid));
        }
    }
    unknown()
}

/// The start of a process's command line.
fn command_line(pid: u32) -> String {
    const SHOWN: usize = 100;
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim().chars().take(SHOWN).filter(|c| !c.is_control()).collect()
}

/// The inode of the socket that listens on a port, from the kernel's tables. State 0A is LISTEN.
fn inode_of(port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        fs::read_to_string(table).ok()?.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
            listens.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_node_has_the_ports_that_the_design_says() {
        let ports = Ports::of(DEFAULT_BASE, 3);
        assert_eq!(ports.all(), [8103, 8203, 8303]);
        assert_eq!(Ports::base_of_p2p(Ports::of(9000, 1).p2p), Some(9000));
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("some port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let failure = refuse_taken(&[port], "hint").expect_err("it is taken");
        let own = format!("port {port} is taken by process {}", std::process::id());
        assert!(failure.message.starts_with(&own), "{}", failure.message);
        drop(listener);
        assert!(refuse_taken(&[port], "hint").is_ok());
    }
}
