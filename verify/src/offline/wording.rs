//! What an offline verdict says beyond a node's: how old the state is that it rests on, and what
//! to fetch when it could not be decided.

use crate::{
    instant::beijing,
    judge::{Request, Unavailable},
    listed::listed,
    message::non_recognition,
    verdict::{Message, Outcome, Reason, Verdict},
    view::LedgerView,
};

const MINUTE_MS: u64 = 60_000;
/// Up to here an age is told in minutes.
const LONGEST_IN_MINUTES: u64 = 120;
/// Up to here it is told in hours.
const LONGEST_IN_HOURS: u64 = 48;

/// Adds the age of the state to the message of a verdict that rests on `view`.
pub(super) fn dated(mut verdict: Verdict, view: &LedgerView, request: &Request) -> Verdict {
    let stale = request.finds_stale(&view.as_of);
    let as_of = listed(view, request.now_ms, stale).map_or(view.as_of, |listed| listed.as_of());
    let message = match (verdict.outcome, verdict.reason) {
        (Outcome::Undetermined, Some(Reason::StaleLedger)) => {
            let asking = view.asking_province.as_ref();
            let (zh, en) = non_recognition(verdict.recognised, request, asking);
            let undecided = undecided(
                (
                    "账本数据不够新，其后可能已有变化",
                    "the state proof is too old for what may have changed since",
                ),
                (
                    "请获取新的状态证明或状态列表，或联网查询",
                    "Fetch a fresh state proof or status list, or ask a node",
                ),
            );
            Message { zh: format!("{zh}{}", undecided.zh), en: format!("{en}{}", undecided.en) }
        }
        _ => verdict.message,
    };
    let (time, age) = (beijing(as_of.time_ms), age(request.now_ms.saturating_sub(as_of.time_ms)));
    verdict.message = Message {
        zh: format!("{}依据北京时间{time}的账本状态（{}）。", message.zh, age.zh),
        en: format!("{} As of {time} Beijing time, {}.", message.en, age.en),
    };
    verdict
}

/// The message of a verdict for which nothing could be read.
pub(super) fn unavailable(mut verdict: Verdict, why: Unavailable) -> Verdict {
    let ((zh, next_zh), next_en) = match why {
        Unavailable::TrustTooOld => (
            ("信任包已过期", "请联网更新信任包（symbolon trust-bundle get）"),
            "Extend it where there is a network (symbolon trust-bundle get)",
        ),
        Unavailable::ClockBehind => {
            (("本机时钟慢于信任包", "请校准本机时钟"), "Set the clock of this machine")
        }
        Unavailable::UnknownForm => (
            ("证明中的记录格式未知", "请更新核验软件，或联网查询"),
            "Use a newer verifier, or ask a node",
        ),
        _ => (
            ("手头的证明不足以核验该证照", "请获取该证照的状态证明，或联网查询"),
            "Fetch a state proof of this licence (symbolon proof get), or ask a node",
        ),
    };
    verdict.message = undecided((zh, why.detail()), (next_zh, next_en));
    verdict
}

/// That it could not be decided, why, and what to do: pairs of Chinese and English.
fn undecided(why: (&str, &str), next: (&str, &str)) -> Message {
    Message {
        zh: format!("暂时无法判定：{}。这不表示证照无效。{}。", why.0, next.0),
        en: format!(
            "Cannot be decided offline: {}. This does not mean that the licence is invalid. {}.",
            why.1, next.1
        ),
    }
}

/// An age in words, rounded down.
#[must_use]
pub fn age(age_ms: u64) -> Message {
    let minutes = age_ms / MINUTE_MS;
    let (zh, en) = match minutes {
        0 => ("不到一分钟".to_owned(), "less than a minute".to_owned()),
        1 => ("1分钟".to_owned(), "1 minute".to_owned()),
        2..=LONGEST_IN_MINUTES => (format!("{minutes}分钟"), format!("{minutes} minutes")),
        _ if minutes / 60 <= LONGEST_IN_HOURS => {
            (format!("{}小时", minutes / 60), format!("{} hours", minutes / 60))
        }
        _ => (format!("{}天", minutes / 60 / 24), format!("{} days", minutes / 60 / 24)),
    };
    Message { zh: format!("{zh}前"), en: format!("{en} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_minutes_then_hours_then_days() {
        let rows = [
            (0, "less than a minute ago"),
            (59_999, "less than a minute ago"),
            (60_000, "1 minute ago"),
            (5 * MINUTE_MS, "5 minutes ago"),
            (120 * MINUTE_MS, "120 minutes ago"),
            (121 * MINUTE_MS, "2 hours ago"),
            (48 * 60 * MINUTE_MS, "48 hours ago"),
            (49 * 60 * MINUTE_MS, "2 days ago"),
        ];
        for (age_ms, words) in rows {
            assert_eq!(age(age_ms).en, words);
        }
        assert_eq!(age(5 * MINUTE_MS).zh, "5分钟前");
    }

    #[test]
    fn times_are_those_of_beijing() {
        assert_eq!(beijing(1_795_406_400_000), "2026-11-23 12:00");
        assert_eq!(beijing(0), "1970-01-01 08:00");
        assert!(beijing(u64::MAX).starts_with("9999-12-3"));
    }
}
