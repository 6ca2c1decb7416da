//! The records that a verdict rests on, all read at one height.
//!
//! The same [`LedgerView::read`] serves a node, over a snapshot of its database, and an offline
//! verifier, over a checked state proof: both ask for the same records in the same order.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use symbolon_credential::{sd_jwt::Parsed, status_list::ListedStatus};
use symbolon_ledger::{
    block::Header,
    catalogue::LicenceTypeRecord,
    codec::DecodeError,
    codes::ProvinceCode,
    hash::Digest,
    operation::Actor,
    records::{AgencyRecord, KeyRecord, LicenceRecord, ProvinceRecord, RecognitionRecord, Record},
    state::StateKey,
};
use thiserror::Error;

/// The block at which records were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// Its height.
    pub height: u64,
    /// Its time, in milliseconds since 1970-01-01T00:00Z.
    pub time_ms: u64,
    /// Its state root.
    pub state_root: Digest,
}

impl AsOf {
    /// The block of `header`.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self { height: header.height, time_ms: header.time_ms, state_root: header.state_root }
    }
}

/// What a checked status list says of one slot. There is no other way to make one than from a
/// list that a province's key signed ([`crate::status_list`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusEvidence {
    /// The province whose list it is.
    pub(crate) province: ProvinceCode,
    /// The place in that province's lists, as the licence record has it.
    pub(crate) slot: u32,
    /// What the list says.
    pub(crate) status: ListedStatus,
    /// When the list was made: the time of its block, in seconds since 1970-01-01T00:00Z.
    pub(crate) issued_at: u64,
    /// From when on it says nothing, in seconds since 1970-01-01T00:00Z.
    pub(crate) expires: u64,
    /// Height of the state that it was made from.
    pub(crate) height: u64,
    /// Root of that state.
    pub(crate) state_root: Digest,
}

/// A record that several views may have in common: a node reads those on which many verdicts rest
/// once a height. It is like the record itself; changing it changes this view's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared<R>(Arc<R>);

impl<R> From<R> for Shared<R> {
    fn from(record: R) -> Self {
        Self(Arc::new(record))
    }
}

impl<R> From<Arc<R>> for Shared<R> {
    fn from(record: Arc<R>) -> Self {
        Self(record)
    }
}

impl<R> Deref for Shared<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

impl<R: Clone> DerefMut for Shared<R> {
    fn deref_mut(&mut self) -> &mut R {
        Arc::make_mut(&mut self.0)
    }
}

/// What the ledger says about one presentation. `None` means that no such record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerView {
    /// When it says so: of records of several heights the oldest.
    pub as_of: AsOf,
    /// When it says so of the licence, which may be later.
    pub licence_as_of: AsOf,
    /// Every place that was read, so that a node can prove exactly these.
    pub keys: Vec<StateKey>,
    /// The licence.
    pub licence: Option<LicenceRecord>,
    /// The agency that the presentation names.
    pub agency: Option<AgencyRecord>,
    /// That agency's province.
    pub province: Option<ProvinceRecord>,
    /// The key that the presentation names.
    pub key: Option<Shared<KeyRecord>>,
    /// The key that signed the issue transaction.
    pub transaction_key: Option<Shared<KeyRecord>>,
    /// The type that the presentation names.
    pub licence_type: Option<Shared<LicenceTypeRecord>>,
    /// The asking province.
    pub asking_province: Option<ProvinceRecord>,
    /// The asking province's recognition of such licences.
    pub recognition: Option<RecognitionRecord>,
    /// Whether `recognition` was read: proofs brought from elsewhere may not cover it.
    pub recognition_known: bool,
    /// What a status list says of the licence, if one is at hand.
    pub listed: Option<StatusEvidence>,
}

/// Why the ledger could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The node is catching up.
    NodeBehind,
    /// Too few provinces answer to make blocks.
    NoQuorum,
    /// No node answered.
    Unreachable,
    /// The state of that height is not kept any more.
    Pruned,
    /// Offline: the pinned block of the trust bundle is too old to rely on.
    TrustTooOld,
    /// Offline: this machine's clock is behind the pinned block.
    ClockBehind,
    /// Offline: the proofs at hand do not cover what the answer rests on.
    NotProven,
    /// Offline: a proven record has a form that this program does not know.
    UnknownForm,
}

impl Unavailable {
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::NodeBehind => "this node is catching up with the chain",
            Self::NoQuorum => "too few provinces answer to make new blocks",
            Self::Unreachable => "no node answered",
            Self::Pruned => "the state of that height is not kept any more",
            Self::TrustTooOld => "the trust bundle is too old to rely on",
            Self::ClockBehind => "the clock of this machine is behind the trust bundle",
            Self::NotProven => {
                "the proofs at hand do not cover this licence with its issuer and type"
            }
            Self::UnknownForm => "a proven record has a form that this program does not know",
        }
    }
}

/// What is known of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ledger {
    /// Its records at one height.
    At(Box<LedgerView>),
    /// The same, from a node that knows why it has no newer block. What the records prove counts
    /// as always; where they are too old, the verdict says why, and what helps.
    Late(Box<LedgerView>, Unavailable),
    /// Nothing.
    Unavailable(Unavailable),
}

/// Why records could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError<E> {
    /// The source could not say what stands at a key.
    #[error("{0}")]
    Source(E),
    /// A record is in a form that this program does not know.
    #[error("the record at {key:?} cannot be read: {source}")]
    Record {
        /// Where it stands.
        key: Box<StateKey>,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Where records are read, always in one state.
pub trait Records {
    /// Why it cannot say what stands at a key.
    type Error;

    /// The record at `key`; none when nothing stands there.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn record<R>(&mut self, key: &StateKey) -> Result<Option<Arc<R>>, ReadError<Self::Error>>
    where
        R: Record + Send + Sync + 'static;
}

/// Records that are read as bytes.
struct Bytes<F>(F);

impl<F, E> Records for Bytes<F>
where
    F: FnMut(&StateKey) -> Result<Option<Vec<u8>>, E>,
{
    type Error = E;

    fn record<R>(&mut self, key: &StateKey) -> Result<Option<Arc<R>>, ReadError<E>>
    where
        R: Record + Send + Sync + 'static,
    {
        let Some(bytes) = (self.0)(key).map_err(ReadError::Source)? else { return Ok(None) };
        match R::from_bytes(&bytes) {
            Ok(record) => Ok(Some(Arc::new(record))),
            Err(source) => Err(ReadError::Record { key: Box::new(key.clone()), source }),
        }
    }
}

struct Reader<S> {
    records: S,
    keys: Vec<StateKey>,
}

impl<S: Records> Reader<S> {
    fn shared<R>(&mut self, key: Option<StateKey>) -> Result<Option<Arc<R>>, ReadError<S::Error>>
    where
        R: Record + Send + Sync + 'static,
    {
        let Some(key) = key else { return Ok(None) };
        let record = self.records.record(&key);
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
        record
    }

    fn read<R>(&mut self, key: Option<StateKey>) -> Result<Option<R>, ReadError<S::Error>>
    where
        R: Record + Clone + Send + Sync + 'static,
    {
        Ok(self.shared(key)?.map(Arc::unwrap_or_clone))
    }
}

impl LedgerView {
    /// Reads every record that a verdict about `presentation` needs. `get` gives the bytes at a
    /// key, always of the state at `as_of`; `Ok(None)` says that nothing stands there.
    ///
    /// ```no_run
    /// # use symbolon_credential::{sd_jwt::Parsed, status_list::ListedStatus};
    /// # use symbolon_ledger::codes::ProvinceCode;
    /// # use symbolon_verify::{state_proof::{CheckedState, NotProven}, view::{AsOf, LedgerView, ReadError}};
    /// # fn f(state: &CheckedState, presentation: &Parsed, asking: ProvinceCode)
    /// #     -> Result<LedgerView, ReadError<NotProven>> {
    /// let as_of = AsOf::of(state.header().header());
    /// LedgerView::read(as_of, presentation, asking, |key| {
    ///     state.bytes_at(key).map(|record| record.map(<[u8]>::to_vec))
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReadError`], at the first record that cannot be had.
    pub fn read<F, E>(
        as_of: AsOf,
        presentation: &Parsed,
        asking: ProvinceCode,
        get: F,
    ) -> Result<Self, ReadError<E>>
    where
        F: FnMut(&StateKey) -> Result<Option<Vec<u8>>, E>,
    {
        Self::read_from(Bytes(get), as_of, presentation, asking)
    }

    /// The same, of records that are decoded already.
    ///
    /// # Errors
    ///
    /// [`ReadError`], at the first record that cannot be had.
    pub fn read_from<S: Records>(
        records: S,
        as_of: AsOf,
        presentation: &Parsed,
        asking: ProvinceCode,
    ) -> Result<Self, ReadError<S::Error>> {
        let mut reader = Reader { records, keys: Vec::new() };
        let issuer = presentation.claimed_issuer().map(|issuer| issuer.agency);
        let type_code = presentation.claimed_type().map(|(code, _)| code);
        let key_of = |id| issuer.map(|uscc| StateKey::Key(Actor::Agency(uscc), id));

        let licence: Option<LicenceRecord> =
            reader.read(presentation.claimed_cid().map(StateKey::Licence))?;
        let agency: Option<AgencyRecord> = reader.read(issuer.map(StateKey::Agency))?;
        let key: Option<Arc<KeyRecord>> = reader.shared(key_of(presentation.key_id()))?;
        let transaction_key: Option<Arc<KeyRecord>> =
            reader.shared(licence.as_ref().and_then(|l| key_of(l.transaction_key)))?;
        let home = agency.as_ref().map(|a| a.province);
        let province = reader.read(home.map(StateKey::Province))?;
        let licence_type: Option<Arc<LicenceTypeRecord>> =
            reader.shared(type_code.clone().map(StateKey::LicenceType))?;
        let asking_province = reader.read(Some(StateKey::Province(asking)))?;
        let agreement = match (home, type_code) {
            (Some(home), Some(code)) => Some(StateKey::Recognition(asking, home, code)),
            _ => None,
        };
        let recognition = reader.read(agreement)?;
        Ok(Self {
            as_of,
            licence_as_of: as_of,
            keys: reader.keys,
            licence,
            agency,
            province,
            key: key.map(Shared::from),
            transaction_key: transaction_key.map(Shared::from),
            licence_type: licence_type.map(Shared::from),
            asking_province,
            recognition,
            recognition_known: true,
            listed: None,
        })
    }
}
