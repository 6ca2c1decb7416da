//! Figures, each beside what it is held against, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

/// A chapter of figures that were measured together.
#[derive(Debug)]
pub struct Section {
    /// What was measured.
    pub name: &'static str,
    /// How, in a line.
    pub how: String,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// What a peer was measured to do, run by run; or why it was not measured.
pub type Measured = Result<Vec<f64>, String>;

/// One figure.
#[derive(Debug)]
pub struct Figure {
    what: &'static str,
    /// Why there is none, where there is none.
    value: Result<f64, String>,
    unit: &'static str,
    /// Lowest and highest of several runs, and how many there were.
    spread: Option<(f64, f64, usize)>,
    limit: Option<Limit>,
}

/// What a figure is held against.
#[derive(Debug)]
struct Limit {
    what: &'static str,
    /// Why there is none, where there is none.
    value: Result<f64, String>,
    target: Option<Target>,
}

/// What the share of the limit should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// No less than this share.
    AtLeast(f64),
    /// No more than this share.
    AtMost(f64),
}

impl Figure {
    /// A figure by itself.
    #[must_use]
    pub fn new(what: &'static str, value: f64, unit: &'static str) -> Self {
        Self { what, value: Ok(value), unit, spread: None, limit: None }
    }

    /// The median of several runs, with their spread.
    #[must_use]
    pub fn of_runs(what: &'static str, runs: &[f64], unit: &'static str) -> Self {
        let mut sorted = runs.to_vec();
        let middle = quantile(&mut sorted, 0.5);
        let ends = sorted.first().zip(sorted.last());
        let spread = ends.map(|(low, high)| (*low, *high, runs.len())).filter(|_| runs.len() > 1);
        Self { spread, ..Self::new(what, middle, unit) }
    }

    /// The median of a peer's runs, or why there is none.
    #[must_use]
    pub fn of_peer(what: &'static str, runs: &Measured, unit: &'static str) -> Self {
        match runs {
            Ok(runs) => Self::of_runs(what, runs, unit),
            Err(why) => Self { what, value: Err(why.clone()), unit, spread: None, limit: None },
        }
    }

    /// The same, as a share of a limit of the same unit.
    #[must_use]
    pub fn of(self, what: &'static str, value: f64) -> Self {
        Self { limit: Some(Limit { what, value: Ok(value), target: None }), ..self }
    }

    /// The same, as a share of the median of a peer's runs, where it was measured.
    #[must_use]
    pub fn beside(self, what: &'static str, peer: &Measured) -> Self {
        let value = peer.clone().map(|mut runs| quantile(&mut runs, 0.5));
        Self { limit: Some(Limit { what, value, target: None }), ..self }
    }

    /// The figure; 0 where there is none.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value.as_ref().copied().unwrap_or(0.0)
    }

    /// Writes it as a row of a table.
    fn shown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            Ok(value) => grouped(*value),
            Err(why) => return write!(f, "  {:<46} not measured: {why}", self.what),
        };
        write!(f, "  {:<46} {value:>12} {:<4}", self.what, self.unit)?;
        if let Some((low, high, runs)) = &self.spread {
            write!(f, "  [{} to {} in {runs} runs]", grouped(*low), grouped(*high))?;
        }
        let Some(limit) = &self.limit else { return Ok(()) };
        match (limit.share(self), &limit.value) {
            (Some(share), Ok(value)) => {
                write!(f, "  {share:.2} x {} ({})", limit.what, grouped(*value))?;
                let Some(target) = limit.target else { return Ok(()) };
                let met = if target.is_met(share) { "met" } else { "not met" };
                write!(f, "; target {target}: {met}")
            }
            (_, Err(why)) => write!(f, "  {}: not measured: {why}", limit.what),
            _ => Ok(()),
        }
    }

    /// The same, with a target for the share.
    #[must_use]
    pub fn with(mut self, target: Target) -> Self {
        if let Some(limit) = &mut self.limit {
            limit.target = Some(target);
        }
        self
    }
}

impl Limit {
    /// Which share of it the figure is, where both were measured.
    fn share(&self, figure: &Figure) -> Option<f64> {
        let (value, limit) = (figure.value.as_ref().ok()?, self.value.as_ref().ok()?);
        Some(value / limit)
    }
}

impl Target {
    fn is_met(self, share: f64) -> bool {
        match self {
            Self::AtLeast(least) => share >= least,
            Self::AtMost(most) => share <= most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl Section {
    /// For programs: one object.
    #[must_use]
    pub fn json(&self) -> Value {
        let figure = |f: &Figure| {
            let number = |value: &Result<f64, String>| value.as_ref().ok().copied().map(rounded);
            let why = |value: &Result<f64, String>| value.as_ref().err().cloned();
            let mut row = json!({ "what": f.what, "value": number(&f.value), "unit": f.unit });
            if let Some(why) = why(&f.value) {
                row["not_measured"] = why.into();
            }
            if let Some((low, high, runs)) = f.spread {
                row["spread"] =
                    json!({ "lowest": rounded(low), "highest": rounded(high), "runs": runs });
            }
            if let Some(limit) = &f.limit {
                row["limit"] = json!({ "what": limit.what, "value": number(&limit.value) });
                if let Some(why) = why(&limit.value) {
                    row["limit"]["not_measured"] = why.into();
                }
                let Some(share) = limit.share(f) else { return row };
                row["share"] = rounded(share).into();
                if let Some(target) = limit.target {
                    row["target"] = target.to_string().into();
                    row["met"] = target.is_met(share).into();
                }
            }
            row
        };
        let figures: Vec<Value> = self.figures.iter().map(figure).collect();
        json!({ "name": self.name, "how": self.how, "figures": figures })
    }
}

/// For people.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  ({})", self.name, self.how)?;
        for figure in &self.figures {
            figure.shown(f)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Three significant digits below a thousand, whole numbers above.
fn rounded(value: f64) -> f64 {
    let size = value.abs();
    if size >= 100.0 || size == 0.0 {
        return value.round();
    }
    let scale = 10f64.powi(2 - size.log10().floor() as i32);
    (value * scale).round() / scale
}

fn grouped(value: f64) -> String {
    let value = rounded(value);
    if value < 1_000.0 {
        return value.to_string();
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The value below which the share `q` of `times` lies; 0 without any.
#[must_use]
pub fn quantile(times: &mut [f64], q: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * q).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_easily_and_say_whether_a_target_is_met() {
        let figure = |value: f64, target| Figure::new("a", value, "/s").of("b", 2.0).with(target);
        let section = Section {
            name: "n",
            how: "h".to_owned(),
            figures: vec![figure(3.0, Target::AtMost(1.4)), figure(3.0, Target::AtLeast(1.4))],
        };
        let text = section.to_string();
        assert!(text.contains("1.50 x b (2); target at most 1.4: not met"), "{text}");
        assert!(text.contains("target at least 1.4: met"), "{text}");
        assert_eq!(section.json()["figures"][1]["met"], true);
        let runs =
            Figure::of_runs("a", &[3.0, 1.0, 2.0], "/s").beside("b", &Err("no b".to_owned()));
        let missing = Figure::of_peer("c", &Err("no c".to_owned()), "/s").of("d", 1.0);
        let section = Section { name: "n", how: String::new(), figures: vec![runs, missing] };
        let (text, json) = (section.to_string(), section.json());
        assert!(text.contains(" 2 /s    [1 to 3 in 3 runs]  b: not measured: no b"), "{text}");
        assert!(text.contains("not measured: no c\n"), "{text}");
        assert_eq!(json["figures"][0]["spread"]["highest"], 3.0);
        assert_eq!(json["figures"][0]["limit"]["value"], Value::Null);
        assert_eq!(json["figures"][1]["value"], Value::Null);
        let shown = [0.012_345, 12.345, 999.6, 1_234_567.0].map(grouped);
        assert_eq!(shown, ["0.0123", "12.3", "1,000", "1,234,567"]);
    }
}
