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

/// One figure.
#[derive(Debug)]
pub struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
    limit: Option<Limit>,
}

/// What a figure is held against.
#[derive(Debug)]
struct Limit {
    what: &'static str,
    value: f64,
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
        Self { what, value, unit, limit: None }
    }

    /// The same, as a share of a limit of the same unit.
    #[must_use]
    pub fn of(self, what: &'static str, value: f64) -> Self {
        Self { limit: Some(Limit { what, value, target: None }), ..self }
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
    fn share(&self, value: f64) -> f64 {
        value / self.value
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
            let mut row = json!({ "what": f.what, "value": rounded(f.value), "unit": f.unit });
            if let Some(limit) = &f.limit {
                let share = limit.share(f.value);
                row["limit"] = json!({ "what": limit.what, "value": rounded(limit.value) });
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
            let value = grouped(figure.value);
            write!(f, "  {:<46} {value:>12} {:<4}", figure.what, figure.unit)?;
            if let Some(limit) = &figure.limit {
                let share = limit.share(figure.value);
                write!(f, "  {share:.2} x {} ({})", limit.what, grouped(limit.value))?;
                if let Some(target) = limit.target {
                    let met = if target.is_met(share) { "met" } else { "not met" };
                    write!(f, "; target {target}: {met}")?;
                }
            }
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
        let shown = [0.012_345, 12.345, 999.6, 1_234_567.0].map(grouped);
        assert_eq!(shown, ["0.0123", "12.3", "1,000", "1,234,567"]);
    }
}
