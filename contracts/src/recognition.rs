//! Recognition: on which days a province takes another province's licences of a type as valid.
//!
//! The days are those of verification, in Beijing. A withdrawal therefore also ends recognition
//! of licences that were issued before it. Where nothing is recognised there is no record, and
//! the state proves its absence. That a province recognises itself, and everybody national
//! types, is no record: the verifier knows it.

use std::sync::Arc;

use symbolon_ledger::{
    codes::{Day, LAST_DAY, ProvinceCode, TypeCode},
    operation::{Interval, Operation},
    records::{MAX_INTERVALS, ProvinceRecord, RECORD_VERSION, RecognitionRecord},
    state::StateKey,
};

use crate::{
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::StateView,
};

/// Applies an operation of the group.
pub(crate) fn apply<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
) -> Result<(), Stop> {
    match operation {
        Operation::Recognise { from_province, licence_type, interval } => {
            recognise(run, *from_province, licence_type, *interval)
        }
        Operation::WithdrawRecognition { from_province, licence_type, effective } => {
            withdraw(run, *from_province, licence_type, *effective)
        }
        _ => Err(Code::NotActive.into()),
    }
}

fn recognise<V: StateView>(
    run: &mut Run<'_, '_, V>,
    from: ProvinceCode,
    licence_type: &TypeCode,
    interval: Interval,
) -> Result<(), Stop> {
    let last = interval.until.unwrap_or(LAST_DAY);
    let place = place(run, from, licence_type)?;
    ensure(interval.from <= last && last <= LAST_DAY, Code::BadInterval)?;
    let mut intervals = intervals(run, &place)?;
    ensure(!intervals.iter().any(|known| known.overlaps(&interval)), Code::IntervalOverlaps)?;
    ensure(intervals.len() < MAX_INTERVALS, Code::TooManyIntervals)?;
    intervals.push(interval);
    intervals.sort_by_key(|interval| interval.from);
    Ok(run.overlay.put(place, RecognitionRecord { version: RECORD_VERSION, intervals })?)
}

fn withdraw<V: StateView>(
    run: &mut Run<'_, '_, V>,
    from: ProvinceCode,
    licence_type: &TypeCode,
    effective: Day,
) -> Result<(), Stop> {
    let place = place(run, from, licence_type)?;
    ensure(effective <= LAST_DAY, Code::BadInterval)?;
    let known = intervals(run, &place)?;
    let left: Vec<Interval> = known.iter().filter_map(|i| before(i, effective)).collect();
    ensure(left != known, Code::NothingToWithdraw)?;
    if left.is_empty() {
        return Ok(run.overlay.remove::<RecognitionRecord>(place)?);
    }
    Ok(run.overlay.put(place, RecognitionRecord { version: RECORD_VERSION, intervals: left })?)
}

/// What is left of `interval` before the day `end`.
fn before(interval: &Interval, end: Day) -> Option<Interval> {
    if interval.from >= end {
        return None;
    }
    let last = Day(end.0.saturating_sub(1));
    let until = Some(interval.until.map_or(last, |until| until.min(last)));
    Some(Interval { from: interval.from, until })
}

/// Where the signing province's recognition stands; checks that there can be one.
fn place<V: StateView>(
    run: &mut Run<'_, '_, V>,
    from: ProvinceCode,
    licence_type: &TypeCode,
) -> Result<StateKey, Stop> {
    let province = run.signer.province()?;
    let issuing: Option<Arc<ProvinceRecord>> = run.overlay.get(&StateKey::Province(from))?;
    issuing.ok_or(Code::UnknownProvince)?;
    run.licence_type(licence_type)?;
    ensure(province != from, Code::OwnProvince)?;
    Ok(StateKey::Recognition(province, from, licence_type.clone()))
}

fn intervals<V: StateView>(
    run: &mut Run<'_, '_, V>,
    place: &StateKey,
) -> Result<Vec<Interval>, Stop> {
    let record: Option<Arc<RecognitionRecord>> = run.overlay.get(place)?;
    Ok(record.map(|r| r.intervals.clone()).unwrap_or_default())
}
