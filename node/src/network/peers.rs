//! The peers that this node admits: who they are, where they are, how they behave.
//!
//! Only bookkeeping; the swarm's own gates are `behaviour` and the loop that moves them is
//! `task`. A peer keeps its [`PeerIndex`] while the process runs, so the table grows only with
//! the decisions of the chain and of the operator, never with what strangers do.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use symbolon_ledger::hash::BlockHash;
use tokio::sync::Semaphore;

use super::{
    NetworkError, PeerIndex,
    limits::{
        ANNOUNCED_PER_PEER, Allowance, BLAME_DECAY, EXCHANGE_BYTES_BURST,
        EXCHANGE_BYTES_PER_SECOND, GOSSIP_BYTES_BURST, GOSSIP_BYTES_PER_SECOND,
        GOSSIP_MESSAGES_BURST, GOSSIP_MESSAGES_PER_SECOND, MAX_ADDRESSES_PER_PEER, MAX_ADMITTED,
        REDIAL_COURTESY, REDIAL_FIRST, REDIAL_LONGEST, REQUESTS_BURST, REQUESTS_PER_SECOND,
        SERVING_PER_PEER,
    },
};

/// What a peer is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// In the validator set.
    Validator,
    /// Admitted by the operator.
    Observer,
    /// Was one of them; not admitted any more.
    Former,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) index: PeerIndex,
    pub(super) role: Role,
    /// Stays admitted as an observer when it leaves the validator set.
    observer: bool,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) connected: bool,
    /// The topics it has joined on this connection.
    pub(super) in_consensus: bool,
    pub(super) in_transactions: bool,
    /// The engine was told that it is connected.
    pub(super) told: bool,
    /// The tip it last claimed.
    pub(super) height: u64,
    /// Blocks that it announced, newest last.
    announced: VecDeque<BlockHash>,
    /// Blocks whose bodies came from it, newest last.
    delivered: VecDeque<BlockHash>,
    pub(super) blames: u32,
    pub(super) last_blame: Instant,
    pub(super) refused_until: Option<Instant>,
    pub(super) redial_at: Instant,
    redial_pause: Duration,
    pub(super) requests: Allowance,
    pub(super) exchanged: Allowance,
    gossiped: Allowance,
    messages: Allowance,
    /// Database reads under way for it; returns its permits even when a read panics.
    pub(super) serving: Arc<Semaphore>,
    /// Our requests that it has not answered yet.
    pub(super) outstanding: usize,
    /// When it last took too long to give blocks; none once it gave some in time.
    pub(super) slow_at: Option<Instant>,
}

impl Peer {
    fn new(index: PeerIndex, now: Instant) -> Self {
        Self {
            index,
            role: Role::Former,
            observer: false,
            addresses: Vec::new(),
            connected: false,
            in_consensus: false,
            in_transactions: false,
            told: false,
            height: 0,
            announced: VecDeque::new(),
            delivered: VecDeque::new(),
            blames: 0,
            last_blame: now,
            refused_until: None,
            redial_at: now,
            redial_pause: REDIAL_FIRST,
            requests: Allowance::new(REQUESTS_BURST, REQUESTS_PER_SECOND, now),
            exchanged: Allowance::new(EXCHANGE_BYTES_BURST, EXCHANGE_BYTES_PER_SECOND, now),
            gossiped: Allowance::new(GOSSIP_BYTES_BURST, GOSSIP_BYTES_PER_SECOND, now),
            messages: Allowance::new(GOSSIP_MESSAGES_BURST, GOSSIP_MESSAGES_PER_SECOND, now),
            serving: Arc::new(Semaphore::new(SERVING_PER_PEER)),
            outstanding: 0,
            slow_at: None,
        }
    }

    /// Takes one gossiped message of so many bytes off its allowances.
    pub(super) fn may_gossip(&mut self, bytes: usize, now: Instant) -> bool {
        self.messages.take(1, now) && self.gossiped.take(bytes as u64, now)
    }

    pub(super) fn note_announced(&mut self, block: BlockHash) {
        if !self.has_announced(&block) {
            note(&mut self.announced, block);
        }
    }

    pub(super) fn note_delivered(&mut self, block: BlockHash) {
        note(&mut self.delivered, block);
    }

    pub(super) fn has_announced(&self, block: &BlockHash) -> bool {
        self.announced.contains(block)
    }

    pub(super) fn has_delivered(&self, block: &BlockHash) -> bool {
        self.delivered.contains(block)
    }

    /// Whether its bytes were asked for again after it had given them, and again: then they are
    /// likely not the block's.
    pub(super) fn delivers_in_vain(&self, block: &BlockHash) -> bool {
        self.delivered.iter().filter(|known| *known == block).count() > 1
    }

    /// When to dial it next after an attempt that began `now`: the pause doubles, and up to a
    /// quarter is added by the peer's number so that a restarted network does not dial in step.
    pub(super) fn schedule_redial(&mut self, now: Instant) {
        let spread = self.redial_pause.mul_f64(0.25 * (self.index.0 % 8) as f64 / 8.0);
        self.redial_at = now + self.redial_pause + spread;
        self.redial_pause = (2 * self.redial_pause).min(REDIAL_LONGEST);
    }

    /// Marks its last connection as gone.
    pub(super) fn disconnect(&mut self, now: Instant) {
        (self.connected, self.in_consensus, self.in_transactions) = (false, false, false);
        self.redial_pause = REDIAL_FIRST;
        self.schedule_redial(now);
    }

    /// Forgives one blame when it is old enough; true when something changed.
    pub(super) fn forgive(&mut self, now: Instant) -> bool {
        let due = self.blames > 0 && now.saturating_duration_since(self.last_blame) >= BLAME_DECAY;
        if due {
            self.blames -= 1;
            self.last_blame = now;
        }
        due
    }
}

/// Keeps the last few of what one peer said, so that it can crowd out only its own words.
fn note(list: &mut VecDeque<BlockHash>, block: BlockHash) {
    if list.len() == ANNOUNCED_PER_PEER {
        list.pop_front();
    }
    list.push_back(block);
}

/// All peers that are or were admitted.
#[derive(Debug)]
pub(super) struct Peers {
    own: PeerId,
    by_id: HashMap<PeerId, Peer>,
    by_index: Vec<PeerId>,
}

/// Whom a change of the validator set lets in and shuts out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) added: Vec<PeerId>,
    pub(super) removed: Vec<PeerId>,
}

impl Peers {
    /// Reads the configuration.
    pub(super) fn new(
        own: PeerId,
        validators: &[(Vec<u8>, Vec<Multiaddr>)],
        observers: &[Vec<u8>],
    ) -> Result<Self, NetworkError> {
        let count = validators.len().saturating_add(observers.len());
        if count > MAX_ADMITTED {
            return Err(NetworkError::TooManyPeers { count });
        }
        let now = Instant::now();
        let mut peers = Self { own, by_id: HashMap::new(), by_index: Vec::new() };
        for (index, bytes) in observers.iter().enumerate() {
            let id = PeerId::from_bytes(bytes)
                .map_err(|_| NetworkError::PeerId { what: "observer", index })?;
            peers.admit(id, Role::Observer, &[], now);
        }
        for (index, (bytes, addresses)) in validators.iter().enumerate() {
            let id = PeerId::from_bytes(bytes)
                .map_err(|_| NetworkError::PeerId { what: "validator", index })?;
            peers.admit(id, Role::Validator, addresses, now);
        }
        Ok(peers)
    }

    fn admit(&mut self, id: PeerId, role: Role, addresses: &[Multiaddr], now: Instant) {
        if id == self.own {
            return;
        }
        let courtesy = if self.own < id { Duration::ZERO } else { REDIAL_COURTESY };
        let peer = self.by_id.entry(id).or_insert_with(|| {
            let index = PeerIndex(self.by_index.len() as u64);
            self.by_index.push(id);
            Peer::new(index, now)
        });
        if peer.role == Role::Former {
            peer.redial_at = now + courtesy;
        }
        peer.role = role;
        peer.observer |= role == Role::Observer;
        // The newest first; what the operator configured besides stays as long as it fits.
        let older = std::mem::take(&mut peer.addresses);
        for address in addresses.iter().chain(&older) {
            if peer.addresses.len() < MAX_ADDRESSES_PER_PEER && !peer.addresses.contains(address) {
                peer.addresses.push(address.clone());
            }
        }
    }

    /// Replaces the validators; a validator that leaves the set is admitted no longer, and an
    /// observer stays one.
    pub(super) fn replace_validators(
        &mut self,
        validators: &[(Vec<u8>, Vec<Multiaddr>)],
        now: Instant,
    ) -> Change {
        let wanted = validators
            .iter()
            .take(MAX_ADMITTED)
            .filter_map(|(bytes, addresses)| Some((PeerId::from_bytes(bytes).ok()?, addresses)))
            .filter(|(id, _)| *id != self.own)
            .collect::<Vec<_>>();
        let ids = wanted.iter().map(|(id, _)| *id).collect::<HashSet<_>>();
        let mut change = Change::default();
        for (id, peer) in &mut self.by_id {
            if peer.role == Role::Validator && !ids.contains(id) {
                peer.role = if peer.observer { Role::Observer } else { Role::Former };
                // Its addresses stay known, for the day on which it comes back.
                if peer.role == Role::Former {
                    change.removed.push(*id);
                }
            }
        }
        for (id, addresses) in wanted {
            let known = self.by_id.get(&id).is_some_and(|peer| peer.role != Role::Former);
            if !known {
                change.added.push(id);
            }
            self.admit(id, Role::Validator, addresses, now);
        }
        change
    }

    /// The ids that may connect.
    pub(super) fn admitted(&self) -> impl Iterator<Item = PeerId> {
        self.by_id.iter().filter(|(_, peer)| peer.role != Role::Former).map(|(id, _)| *id)
    }

    pub(super) fn get(&self, id: &PeerId) -> Option<&Peer> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &PeerId) -> Option<&mut Peer> {
        self.by_id.get_mut(id)
    }

    pub(super) fn id_of(&self, index: PeerIndex) -> Option<PeerId> {
        self.by_index.get(usize::try_from(index.0).ok()?).copied()
    }

    /// In the order in which they were admitted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.by_index.iter().filter_map(|id| Some((*id, self.by_id.get(id)?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Peer)> {
        self.by_id.iter_mut().map(|(id, peer)| (*id, peer))
    }

    pub(super) fn connected(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.iter().filter(|(_, peer)| peer.connected)
    }

    /// How many hear what is gossiped.
    pub(super) fn hearing(&self) -> usize {
        self.by_id.values().filter(|peer| peer.told).count()
    }

    /// Whether nobody is admitted.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.values().all(|peer| peer.role == Role::Former)
    }

    /// Whether it has a vote.
    pub(super) fn is_validator(&self, id: &PeerId) -> bool {
        self.by_id.get(id).is_some_and(|peer| peer.role == Role::Validator)
    }

    /// Whether all validators are connected and nobody else is. An observer may hear of the others'
    /// messages from this node alone.
    pub(super) fn are_the_validators(&self) -> bool {
        self.by_id.values().all(|peer| peer.told == (peer.role == Role::Validator))
    }

    /// Those to dial now, with their addresses.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (id, peer) in &mut self.by_id {
            let wanted = peer.role != Role::Former && peer.refused_until.is_none();
            if wanted && !peer.connected && !peer.addresses.is_empty() && peer.redial_at <= now {
                peer.schedule_redial(now);
                due.push((*id, peer.addresses.clone()));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> PeerId {
        PeerId::from_bytes(&super::super::peer_id_of_seed([n; 32])).unwrap()
    }

    fn entry(n: u8) -> (Vec<u8>, Vec<Multiaddr>) {
        (id(n).to_bytes(), vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()])
    }

    #[test]
    fn a_change_of_the_set_keeps_observers_and_numbers() {
        let elsewhere = (id(3).to_bytes(), vec!["/ip4/127.0.0.1/tcp/2".parse().unwrap()]);
        let set = [entry(1), entry(2), entry(3), elsewhere, entry(9)];
        let mut peers = Peers::new(id(1), &set, &[id(9).to_bytes()]).unwrap();
        assert_eq!(peers.admitted().count(), 3, "oneself is no peer");
        assert_eq!(peers.get(&id(3)).unwrap().addresses.len(), 2, "addresses add up");
        let number = peers.get(&id(3)).unwrap().index;
        let change = peers.replace_validators(&[entry(1), entry(3), entry(4)], Instant::now());
        assert_eq!(change, Change { added: vec![id(4)], removed: vec![id(2)] });
        assert_eq!(peers.get(&id(3)).unwrap().index, number);
        assert_eq!(peers.get(&id(9)).unwrap().role, Role::Observer);
        let change = peers.replace_validators(&[entry(2)], Instant::now());
        assert_eq!(change.added, vec![id(2)]);
        assert_eq!(peers.id_of(number), Some(id(3)), "a number is never given again");
    }

    #[test]
    fn redial_backs_off_to_a_bound_and_starts_anew() {
        let mut peers = Peers::new(id(1), &[entry(2)], &[]).unwrap();
        let mut now = Instant::now() + REDIAL_COURTESY;
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            assert_eq!(peers.due(now).len(), 1);
            assert_eq!(peers.due(now).len(), 0, "once per pause");
            let at = peers.get(&id(2)).unwrap().redial_at;
            let pause = at - now;
            assert!(pause >= last && pause <= 2 * REDIAL_LONGEST);
            (last, now) = (pause, at);
        }
        assert!(last >= REDIAL_LONGEST);
        let peer = peers.get_mut(&id(2)).unwrap();
        peer.disconnect(now);
        assert!(peer.redial_at - now < 2 * REDIAL_FIRST);
    }

    #[test]
    fn a_peer_crowds_out_only_its_own_announcements() {
        let mut peer = Peer::new(PeerIndex(0), Instant::now());
        for n in 0..=ANNOUNCED_PER_PEER {
            peer.note_announced(symbolon_ledger::hash::sha256(&n.to_be_bytes()));
        }
        assert_eq!(peer.announced.len(), ANNOUNCED_PER_PEER);
        assert!(!peer.has_announced(&symbolon_ledger::hash::sha256(&0usize.to_be_bytes())));
    }
}
