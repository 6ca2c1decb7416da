//! Every reason for which a transaction is refused: a number and a name that never change, what
//! is wrong, and how to mend it.
//!
//! Numbers go into the specification (`docs/spec/operations.md`), names into JSON and messages.
//! A number is never used again. Where each one is decided is the module of its group.

use std::fmt;

use crate::view::StateFault;

/// Why a transaction is refused. Nothing of it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// The reason.
    pub code: RejectionCode,
    /// Place of the operation that was refused; none when it is the transaction as a whole.
    pub operation_index: Option<usize>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation_index {
            Some(index) => write!(f, "operation {index}: {}", self.code.message()),
            None => f.write_str(self.code.message()),
        }
    }
}

impl std::error::Error for Rejection {}

/// Why a transaction was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The state cannot be read: the node must stop.
    #[error(transparent)]
    Fault(#[from] StateFault),
}

/// Why an operation stopped; its place is added by the loop over operations.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(RejectionCode),
    Fault(StateFault),
}

impl From<RejectionCode> for Stop {
    fn from(code: RejectionCode) -> Self {
        Self::Refused(code)
    }
}

impl From<StateFault> for Stop {
    fn from(fault: StateFault) -> Self {
        Self::Fault(fault)
    }
}

/// `Err(code)` unless `holds`.
pub(crate) fn ensure(holds: bool, code: RejectionCode) -> Result<(), RejectionCode> {
    if holds { Ok(()) } else { Err(code) }
}

/// One row a code: number, variant, name, whether it is final, what is wrong, how to mend it.
macro_rules! codes {
    ($($number:literal $variant:ident $name:literal $finality:ident $message:literal $hint:literal)*) => {
        /// A reason for which a transaction is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum RejectionCode {
            $(#[doc = $message] $variant = $number,)*
        }

        impl RejectionCode {
            /// All codes, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable number.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The stable name, as in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What is wrong.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message),* }
            }

            /// How to mend it.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint),* }
            }

            /// Whether the transaction is to wait for nothing. Most of these answers do not depend
            /// on the state, or on a part of it that never changes back: an ended key stays ended.
            /// The others are about a vote that would later count for what its signer did not have
            /// before him. Whatever else rests on the state may change with the next block.
            #[must_use]
            pub const fn is_final(self) -> bool {
                match self { $(Self::$variant => codes!(@$finality)),* }
            }
        }
    };
    (@forever) => { true };
    (@for_now) => { false };
}

codes! {
    // The transaction as a whole.
    1 WrongChain "wrong_chain" forever
        "the transaction is meant for another chain"
        "sign it again with the chain_id that GET /v1/status shows"
    2 Expired "expired" forever
        "its valid_until_height has passed"
        "sign it again with a later valid_until_height"
    3 TooFarAhead "too_far_ahead" for_now
        "its valid_until_height lies more than 9,999 heights ahead"
        "sign it again with an earlier valid_until_height"
    4 AlreadyCommitted "already_committed" for_now
        "the transaction is on the chain already"
        "nothing to do: fetch its receipt; to say the same once more, sign it with a new nonce"
    5 UnknownActor "unknown_actor" for_now
        "the signer is not registered on this chain"
        "check the credit code or province; an agency is registered by its province"
    6 UnknownKey "unknown_key" for_now
        "the signer has no key of this number"
        "use the key_id that the agency's record lists for this key"
    7 WrongKey "wrong_key" forever
        "the signature was not made with the key registered under this number"
        "sign with the registered key, or name the number of the key that was used"
    8 KeyNotForTransactions "key_not_for_transactions" forever
        "this key has another purpose than signing transactions"
        "sign with a key whose purpose is transaction"
    9 KeyNotValid "key_not_valid" forever
        "the signing key has ended or is marked as compromised"
        "sign with a valid key; the province can add one"
    10 SignerSuspended "signer_suspended" for_now
        "the signing agency is suspended"
        "its province must resume it first"
    11 SignerDeregistered "signer_deregistered" forever
        "the signing agency is deregistered and may not act any more"
        "its successor or its province acts in its place"
    12 SignerRemoved "signer_removed" forever
        "the signer's province was shut out of this network"
        "it does not come back; the provinces decide who takes part"

    // Any operation.
    16 NotActive "not_active" for_now
        "this operation is not active on this chain yet"
        "the agency may sign it; its province once feature 1 holds: symbolon gov propose feature 1 --at HEIGHT"
    17 WrongActor "wrong_actor" forever
        "this kind of signer may not say this"
        "licences and transfers are for agencies; agencies, keys, recognition and governance are for provinces"
    18 UnknownAgency "unknown_agency" for_now
        "no agency with this credit code is registered"
        "check the credit code; symbolon agency list, or GET /v1/agencies, lists them"
    19 UnknownType "unknown_type" for_now
        "the catalogue has no such licence type"
        "check the code; GET /v1/licence-types lists them (symbolon genesis show FILE: those of the founding)"
    20 UnknownProvince "unknown_province" for_now
        "no such province is on this chain"
        "check the code; GET /v1/provinces lists them (symbolon genesis show FILE: those of the founding)"
    21 NotItsProvince "not_its_province" for_now
        "the agency belongs to another province"
        "the agency's own province must sign this"
    22 AgencyDeregistered "agency_deregistered" for_now
        "the agency is deregistered"
        "nothing of it can be changed any more, but for its successor and its compromised keys"

    // Licences.
    32 UnknownLicence "unknown_licence" for_now
        "no licence with this cid is on the ledger"
        "check the cid, and that its issue was committed"
    33 NotOwner "not_owner" for_now
        "the licence belongs to another agency"
        "the agency that issued it, or its successor, must sign this"
    34 LicenceFinal "licence_final" for_now
        "the licence is superseded or revoked, for good"
        "act on its successor, or issue a new licence"
    35 LicenceSuspended "licence_suspended" for_now
        "the licence is suspended"
        "to suspend it there is nothing left to do; for anything else, resume it first"
    36 TransferPending "transfer_pending" for_now
        "the licence is released to another agency"
        "wait until that agency takes it over, or cancel the transfer"
    37 NotSuspended "not_suspended" for_now
        "the licence is not suspended"
        "nothing to resume"
    38 NotReleased "not_released" for_now
        "the licence is not released for a transfer"
        "its agency must release it with a transfer out first"
    39 NotTransferTarget "not_transfer_target" for_now
        "the licence is released to another agency than the signer"
        "the agency that it is released to must sign this"
    40 OutOfScope "out_of_scope" for_now
        "the agency may not issue licences of this type"
        "its province can add the type to its scope"
    41 TypeDiffers "type_differs" for_now
        "the new licence is of another type than the one it replaces"
        "use the same type, or revoke the old one and issue anew"
    42 LineageDiffers "lineage_differs" for_now
        "the new licence has another lineage than the one it replaces"
        "use the lineage tag of the previous licence"
    43 LineageInUse "lineage_in_use" for_now
        "a licence of this lineage is still in force"
        "supersede it instead of issuing anew"
    44 DuplicateLicence "duplicate_licence" for_now
        "this credential is registered already"
        "nothing to do if it was yours; otherwise issue a credential with new salts"
    45 SlotNotGranted "slot_not_granted" for_now
        "the status slot is not in a block granted to this agency"
        "reserve slots, and use one of the granted blocks"
    46 SlotUsed "slot_used" for_now
        "the status slot was used before, and none is ever used twice"
        "issue the credential again with an unused slot"
    47 UnknownCredentialKey "unknown_credential_key" for_now
        "the agency has no key of this number for the credential"
        "use the number that the agency's record lists for the key that signed the credential"
    48 KeyNotForCredentials "key_not_for_credentials" for_now
        "the key named for the credential has another purpose"
        "sign the credential with a key whose purpose is credential"
    49 CredentialKeyNotValid "credential_key_not_valid" for_now
        "the key that signed the credential has ended or is marked as compromised"
        "sign the credential with a valid key"
    50 NotSuspendable "not_suspendable" for_now
        "licences of this type cannot be suspended"
        "revoke it, or leave it"
    51 NotTransferable "not_transferable" for_now
        "licences of this type cannot move to another agency"
        "revoke it here and issue it there"
    52 TargetNotActive "target_not_active" for_now
        "the agency that should take the licence over is suspended or deregistered"
        "name an active agency"
    53 TransferToItself "transfer_to_itself" for_now
        "the licence belongs to the agency that should take it over"
        "name another agency; to renew a licence, supersede it"
    54 BadExpiry "bad_expiry" forever
        "the expiry month lies outside the years 1970 to 9999"
        "give year * 12 + month - 1, or none for a licence without an end"

    // Agencies.
    64 AgencyExists "agency_exists" for_now
        "an agency with this credit code is registered already"
        "change the registered agency instead"
    65 AgencyNotActive "agency_not_active" for_now
        "the agency is not active"
        "nothing to suspend; to make it a successor, resume it first"
    66 AgencyNotSuspended "agency_not_suspended" for_now
        "the agency is not suspended"
        "nothing to resume"
    67 AgencyNotDeregistered "agency_not_deregistered" for_now
        "only a deregistered agency has a successor"
        "deregister it first"
    68 SuccessorElsewhere "successor_elsewhere" for_now
        "the successor belongs to another province"
        "name an agency of the same province"
    69 BadScope "bad_scope" forever
        "the scope names a type twice, or more than 256 types"
        "name each type once"
    70 TooManyAgencies "too_many_agencies" for_now
        "the chain has no number left for an agency"
        "use a registered agency"

    // Keys.
    80 KeyRegistered "key_registered" for_now
        "this public key is registered already: as another key of the same agency; or, for a province, as a key of any province, validator or node"
        "make a new key: a key has one purpose and one number"
    81 TooManyKeys "too_many_keys" for_now
        "the actor has as many keys as one may ever have"
        "rotate keys less often; a new agency starts with a new list"
    82 BadFirstKeys "bad_first_keys" forever
        "an agency starts with 1 to 8 different keys, one of them for transactions"
        "give at least one key whose purpose is transaction"
    83 BadPurpose "bad_purpose" forever
        "the purpose does not fit: agencies have transaction and credential keys, a status key is its province's"
        "correct the purpose of the key"
    84 KeyOver "key_over" forever
        "the key's last height lies in the past"
        "give a later valid_until, or none"
    85 UnknownTargetKey "unknown_target_key" for_now
        "the actor has no key of this number"
        "use a number that the record of the agency or province lists"
    86 KeyEnded "key_ended" for_now
        "the key has ended, or ends with this block, or is marked as compromised"
        "nothing to end; to give the agency another key, add one"
    87 PurposeDiffers "purpose_differs" for_now
        "the new key has another purpose than the one it replaces"
        "rotate a key to one of the same purpose"
    88 CompromiseInFuture "compromise_in_future" for_now
        "a key cannot be compromised from a height that no block has reached"
        "give the height from which the key may have been in other hands"
    89 CompromiseNotEarlier "compromise_not_earlier" for_now
        "the key is marked as compromised from this height or an earlier one"
        "the height may only be lowered"
    90 RotationsUsedUp "rotations_used_up" for_now
        "the agency has 512 keys or more, the most to which it may rotate by itself"
        "its province can rotate the key, or add one"
    91 KeyOutlives "key_outlives" for_now
        "an agency may not give itself a key that is valid longer than the one it replaces"
        "give the new key the last height of the old one, or let the province rotate it"
    92 KeysBusy "keys_busy" for_now
        "the province, or all of its agencies together, said as much about keys at this height as they may"
        "submit it again for the next block, with at most 32 operations on keys"

    // Status slots.
    96 BadBlockCount "bad_block_count" forever
        "one reservation is for 1 to 256 blocks of slots"
        "ask for fewer blocks, several times if need be"
    97 SlotsBusy "slots_busy" for_now
        "the province granted as many blocks of slots at this height as it may"
        "submit it again for the next block"
    98 SlotsExhausted "slots_exhausted" for_now
        "the province has no status slots left"
        "ask the province; four thousand million slots are used up"
    99 SlotsUnused "slots_unused" for_now
        "the agency would grant itself more than 64 blocks of slots of which less than half is used"
        "use the slots that it has, or let its province reserve more"

    // Recognition.
    112 OwnProvince "own_province" forever
        "a province always recognises its own licences"
        "name another province"
    113 BadInterval "bad_interval" forever
        "the days are out of order, or later than 9999-12-31"
        "give a first day that is not after the last"
    114 IntervalOverlaps "interval_overlaps" for_now
        "these days are recognised already, in whole or in part"
        "withdraw the recognition first, or give days that do not overlap"
    115 TooManyIntervals "too_many_intervals" for_now
        "a recognition has at most 16 spans of days"
        "withdraw, and give one longer span"
    116 NothingToWithdraw "nothing_to_withdraw" for_now
        "nothing is recognised on or after that day"
        "check the province, the type and the day"

    // Governance.
    128 UnknownProposal "unknown_proposal" forever
        "there is no proposal of this number"
        "check the number; symbolon gov show, or GET /v1/proposals, lists them, from 0"
    129 ProposalClosed "proposal_closed" forever
        "the proposal is decided"
        "nothing to do; to decide otherwise, propose it anew"
    130 ProposalExpired "proposal_expired" forever
        "the proposal has expired"
        "propose it anew, with a later expires_at_height"
    131 BadExpiryHeight "bad_expiry_height" for_now
        "a proposal lives for 10 to 100,000 heights"
        "give an expires_at_height in this span"
    132 TooManyProposals "too_many_proposals" for_now
        "the province has 8 undecided proposals, as many as it may"
        "wait until one is decided or expires"
    133 NoVote "no_vote" for_now
        "the province has no validator, and so no vote"
        "let a province with a validator decide"
    134 AlreadyVoted "already_voted" forever
        "the province has said so already"
        "nothing to do; symbolon gov show NUMBER, or GET /v1/proposals, shows who has not voted"
    135 ActionTooLong "action_too_long" forever
        "an action has at most 32,768 bytes"
        "shorten the entry"
    136 TooFewValidators "too_few_validators" for_now
        "this would leave fewer than four validators"
        "add a validator first"
    137 NoQuorumLeft "no_quorum_left" for_now
        "the validators that stay as they are would be no quorum of the new set"
        "add validators first; with four or more, one at a time can change"
    138 ValidatorsBusy "validators_busy" for_now
        "the validator set changes once a block, and it has changed in this one"
        "submit it again for the next block"
    139 ProvinceExists "province_exists" for_now
        "a province with this code is or was on this chain"
        "check the code; GET /v1/provinces lists them"
    140 ProvinceRemoved "province_removed" for_now
        "the province was shut out of this network"
        "check the code; GET /v1/provinces lists them"
    141 ValidatorExists "validator_exists" for_now
        "the province has a validator already"
        "rotate it instead"
    142 NoValidator "no_validator" for_now
        "the province has no validator"
        "check the code; GET /v1/validators lists them"
    143 ValidatorUnchanged "validator_unchanged" for_now
        "the province's validator has this key and this peer id already"
        "give another key or another peer id"
    144 BadValidator "bad_validator" for_now
        "the peer id is not that of an Ed25519 key, or a key or peer id is in use by this or another validator or by a province"
        "give the validator a key and a peer id of its own"
    145 TooManyValidators "too_many_validators" for_now
        "a set has at most 64 validators"
        "remove one first"
    146 BadCatalogueEntry "bad_catalogue_entry" forever
        "the catalogue entry breaks a rule: its claims, their names, roles and forms, or what is shown by default"
        "correct it; symbolon gov propose says what is wrong before it signs"
    147 EntryNotNewer "entry_not_newer" for_now
        "the entry's schema_version is not above the registered one, and its claims differ"
        "raise schema_version"
    148 TooManyTypes "too_many_types" for_now
        "the catalogue has 256 licence types, as many as it may"
        "change a registered type instead"
    149 BadParameters "bad_parameters" forever
        "an interval is not within 100 ms and a year, or max_staleness_ms is not above idle_block_interval_ms"
        "give several idle intervals as max_staleness_ms"
    150 FeatureDecided "feature_decided" for_now
        "the height of this feature is decided"
        "nothing to do; GET /v1/parameters shows it"
    151 ActivationTooEarly "activation_too_early" for_now
        "the feature would begin at a height that is over when this is decided"
        "propose it anew, with a later height"
    152 TooManyFeatures "too_many_features" for_now
        "256 features have their height, as many as a chain may ever have"
        "none; a new chain starts with a new list"
    153 OriginTaken "origin_taken" for_now
        "another province issues under this origin"
        "give the province an origin of its own"
    154 GovernanceBusy "governance_busy" for_now
        "the province said as much about governance and keys at this height as it may"
        "submit it again for the next block, with at most 32 such operations"
    155 OtherAction "other_action" forever
        "the proposal of this number is about another action than the one that was signed"
        "read the proposal (symbolon gov show), and say what you think of that"

    // Evidence.
    160 NotEquivocation "not_equivocation" forever
        "these are not two different messages of one step, in ascending order, for this chain"
        "give two proposals, prevotes or precommits of one height and round, the lesser bytes first"
    161 EvidenceOutOfWindow "evidence_out_of_window" for_now
        "the messages are for a later height, or for one more than 100,000 heights ago"
        "nothing to do: it is too late, or too early"
    162 NoValidatorThen "no_validator_then" for_now
        "the province had no validator at that height, or it is not known any more"
        "check the province and the height"
    163 EvidenceKnown "evidence_known" for_now
        "it is on record that this validator signed twice at this height"
        "nothing to do; to take its vote away, propose it"
    164 BadEvidenceSignature "bad_evidence_signature" for_now
        "a message was not signed with the validator's key of that height"
        "give the exact bytes that were signed, and their signatures"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_names_are_unique_and_plain() {
        let codes = RejectionCode::ALL;
        assert!(codes.is_sorted_by(|a, b| a.number() < b.number()));
        for (i, code) in codes.iter().enumerate() {
            assert!(codes[..i].iter().all(|c| c.name() != code.name()), "{code:?}");
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
            assert!(!code.message().is_empty() && !code.hint().is_empty(), "{code:?}");
        }
    }
}
