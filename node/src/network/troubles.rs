//! Connections that fail, told to the log seldom enough to be read.
//!
//! A peer that is down is dialled for as long as it is, and anybody may knock. So each peer that
//! cannot be reached is named once, and again only after a long while or when it was there in
//! between; of all that are refused, one in a while, with the number of the others. What is not
//! told at the usual level is told at `debug`.

use std::{collections::HashMap, fmt::Display, time::Instant};

use libp2p::PeerId;
use tracing::{debug, info};

use super::limits::{REFUSED_AGAIN, UNREACHED_AGAIN};

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Of admitted peers only, so it is bounded as the table of peers is.
    unreached: HashMap<PeerId, Instant>,
    refused: Option<Instant>,
    /// Refused since then, and not told.
    others: u64,
}

impl Troubles {
    /// An admitted peer cannot be reached, or closes the connection before it takes part.
    pub(super) fn cannot_reach(&mut self, peer: PeerId, error: &dyn Display, now: Instant) {
        if self.tells_unreached(peer, now) {
            info!(%peer, %error, "cannot connect");
        } else {
            debug!(%peer, %error, "cannot connect");
        }
    }

    /// It takes part.
    pub(super) fn reached(&mut self, peer: &PeerId) {
        self.unreached.remove(peer);
    }

    /// Somebody who has said who it is was not let in.
    pub(super) fn refused(&mut self, peer: PeerId, error: &dyn Display, now: Instant) {
        match self.tells_refused(now) {
            Some(others) => info!(%peer, %error, others, "incoming connection refused"),
            None => debug!(%peer, %error, "incoming connection refused"),
        }
    }

    fn tells_unreached(&mut self, peer: PeerId, now: Instant) -> bool {
        let told = self.unreached.get(&peer);
        let tells = told.is_none_or(|told| now.saturating_duration_since(*told) >= UNREACHED_AGAIN);
        if tells {
            self.unreached.insert(peer, now);
        }
        tells
    }

    /// How many others were refused since the last that was told, when it is time to tell.
    fn tells_refused(&mut self, now: Instant) -> Option<u64> {
        if self.refused.is_some_and(|told| now.saturating_duration_since(told) < REFUSED_AGAIN) {
            self.others = self.others.saturating_add(1);
            return None;
        }
        self.refused = Some(now);
        Some(std::mem::take(&mut self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_once_and_again_after_a_while_or_when_it_was_there() {
        let (mut troubles, now) = (Troubles::default(), Instant::now());
        let [one, other] =
            [1, 2].map(|n| PeerId::from_bytes(&super::super::peer_id_of_seed([n; 32])).unwrap());
        assert!(troubles.tells_unreached(one, now));
        assert!(!troubles.tells_unreached(one, now + UNREACHED_AGAIN / 2));
        assert!(troubles.tells_unreached(other, now), "each for itself");
        assert!(troubles.tells_unreached(one, now + UNREACHED_AGAIN));
        troubles.reached(&one);
        assert!(troubles.tells_unreached(one, now + UNREACHED_AGAIN));
    }

    #[test]
    fn strangers_cannot_fill_the_log() {
        let (mut troubles, now) = (Troubles::default(), Instant::now());
        assert_eq!(troubles.tells_refused(now), Some(0));
        for _ in 0..1_000 {
            assert_eq!(troubles.tells_refused(now + REFUSED_AGAIN / 2), None);
        }
        assert_eq!(troubles.tells_refused(now + REFUSED_AGAIN), Some(1_000));
        assert_eq!(troubles.tells_refused(now + 2 * REFUSED_AGAIN), Some(0));
    }
}
