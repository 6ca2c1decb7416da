//! Lists that were compressed and signed lately, so that a request costs neither.
//!
//! A list is compressed when it was asked for and has changed since, at most once a block; a
//! token is signed anew when its list has changed or half of its `ttl` has passed on the chain's
//! clock, at most once a block as well. Each list has its own lock, which only requests for that
//! list wait for, and no commit.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use symbolon_credential::status_list::{LedgerPoint, ListAddress, NewToken, TTL_S, lst};
use symbolon_ledger::{codes::ProvinceCode, hash::sha256};

use crate::{
    status_signer::StatusSigner,
    storage::{StorageError, View},
};

/// Lists that are kept: those of every province with a first list. The longest take 0.8 MiB with
/// their token, so all of them at most 26 MiB.
const MAX_KEPT: usize = 32;
/// Age of a token, in seconds of the chain's clock, at which it is signed anew though its list is
/// the same.
const RESIGN_AGE_S: u64 = TTL_S / 2;

/// A province and the number of one of its lists.
pub(super) type Place = (ProvinceCode, u32);

/// The lists kept.
#[derive(Debug, Default)]
pub(in crate::http) struct Shelf {
    inner: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Counts the takings, so that the list which nobody has asked for the longest goes first.
    clock: u64,
    /// By province and number as text.
    lists: BTreeMap<String, (u64, Arc<Mutex<List>>)>,
}

fn name((province, list): Place) -> String {
    format!("{province}/{list}")
}

/// A list as it was last asked for.
#[derive(Debug, Default)]
pub(super) struct List {
    content: Option<Content>,
    token: Option<Token>,
}

/// A compressed list.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// Height of the last change.
    changed_at: u64,
    /// `lst` of the list.
    pub(super) lst: Arc<str>,
}

/// A signed list.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// Height of the tip at which it was last found to be current.
    current_at: u64,
    changed_at: u64,
    key_id: u32,
    issued_at: u64,
    /// The token.
    pub(super) bytes: Bytes,
    /// Its entity tag.
    pub(super) tag: String,
}

impl Shelf {
    /// The list at a place, as it was last asked for.
    pub(super) fn list(&self, place: Place) -> Arc<Mutex<List>> {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        if let Some((used, list)) = kept.lists.get_mut(&name(place)) {
            *used = now;
            return list.clone();
        }
        if kept.lists.len() >= MAX_KEPT {
            let oldest = kept.lists.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| kept.lists.remove(&name));
        }
        let list = Arc::<Mutex<List>>::default();
        kept.lists.insert(name(place), (now, list.clone()));
        list
    }

    /// The token at a place if it is known to be current at `height`, without a look at the
    /// database and without waiting for anybody.
    pub(super) fn current(&self, place: Place, height: u64) -> Option<Token> {
        let kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let list = kept.lists.get(&name(place))?.1.clone();
        drop(kept);
        let list = list.try_lock().ok()?;
        list.token.as_ref().filter(|token| token.current_at == height).cloned()
    }
}

/// Locks a list. Every change of it is complete when the lock is released, also by a panic.
pub(super) fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl List {
    /// The list at the view's tip, compressed. The view was taken under this list's lock, so that
    /// what is kept never goes back.
    pub(super) fn content(
        &mut self,
        view: &View<'_>,
        (province, list): Place,
    ) -> Result<Content, StorageError> {
        let changed_at = view.status_list_changed_at(province, list)?;
        if let Some(content) = self.content.as_ref().filter(|c| c.changed_at == changed_at) {
            return Ok(content.clone());
        }
        let content = Content { changed_at, lst: lst(&view.status_list(province, list)?).into() };
        Ok(self.content.insert(content).clone())
    }

    /// The list at the view's tip, signed under the number `key_id`.
    pub(super) fn token(
        &mut self,
        view: &View<'_>,
        address: &ListAddress,
        signer: &StatusSigner,
        key_id: u32,
    ) -> Result<Token, StorageError> {
        let header = &view.tip().header;
        let now_s = header.time_ms / 1_000;
        let content = self.content(view, (address.province, address.list))?;
        if let Some(token) = &mut self.token {
            let same = token.changed_at == content.changed_at && token.key_id == key_id;
            if same && now_s.saturating_sub(token.issued_at) < RESIGN_AGE_S {
                token.current_at = header.height;
                return Ok(token.clone());
            }
        }
        let ledger = LedgerPoint { height: header.height, state_root: header.state_root };
        let lst = &content.lst;
        let new = NewToken { address, key_id, issued_at: now_s, ledger, lst };
        let text = new.sign(signer.key());
        let token = Token {
            current_at: header.height,
            changed_at: content.changed_at,
            key_id,
            issued_at: now_s,
            tag: format!("\"{}\"", sha256(text.as_bytes())),
            bytes: Bytes::from(text),
        };
        Ok(self.token.insert(token).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_nobody_asks_for_goes_first() {
        let shelf = Shelf::default();
        let province: ProvinceCode = "44".parse().unwrap();
        let first = shelf.list((province, 0));
        for list in 1..u32::try_from(MAX_KEPT).unwrap() {
            shelf.list((province, list));
        }
        assert!(Arc::ptr_eq(&first, &shelf.list((province, 0))));
        // One more than are kept: list 1 was asked for the longest ago.
        let second = shelf.list((province, 1));
        shelf.list((province, 1_000));
        assert!(Arc::ptr_eq(&first, &shelf.list((province, 0))));
        assert!(Arc::ptr_eq(&second, &shelf.list((province, 1))));
        assert_eq!(shelf.inner.lock().unwrap().lists.len(), MAX_KEPT);
    }
}
