//! `make bench`: prints what Symbolon costs on this machine, chapter by chapter, each figure beside
//! its limit of the same run. `--json` gives one line of JSON a chapter, `--quick` only sees that
//! everything works, `--stress` is `make bench-stress`: a load above what the network can take, a slow
//! disk, a paused validator. `bench growth` is `make bench-growth`: the same node at several sizes;
//! `bench reading` the chapters of reading alone, to be run before and after a change. Whatever is shown
//! is kept as JSON, too, in the folder that `SYMBOLON_BENCH_OUT` names.

use std::{io::Write as _, process::ExitCode, time::Duration};

use symbolon_tests::bench::{
    Scale, constant, growth, peers::ocsp, report::Section, run, run_reading, status_list, stress,
};

fn main() -> std::io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [constant::ROLE, size] = given[..] {
        constant::serve(size.parse().map_err(std::io::Error::other)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let [status_list::ROLE, folder] = given[..] {
        writeln!(std::io::stdout(), "{}", status_list::memory_mib(folder.as_ref()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let [ocsp::ROLE, folder, millis] = given[..] {
        let millis = millis.parse().map_err(std::io::Error::other)?;
        let rate = ocsp::load(folder.as_ref(), Duration::from_millis(millis));
        writeln!(std::io::stdout(), "{}", rate.map_err(std::io::Error::other)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (flags, words): (Vec<&str>, Vec<&str>) =
        given.iter().partition(|given| given.starts_with("--"));
    let is_known = |flag: &&str| ["--json", "--quick", "--stress"].contains(flag);
    let sizes: Vec<Option<u64>> = words.iter().skip(1).map(|size| size.parse().ok()).collect();
    let chapters = match words.first() {
        None => true,
        Some(&"reading") => sizes.is_empty() && !flags.contains(&"--stress"),
        Some(&"growth") => sizes.iter().all(Option::is_some) && !flags.contains(&"--stress"),
        _ => false,
    };
    if !chapters || !flags.iter().all(is_known) {
        let usage = "usage: bench [--json] [--quick] [--stress | reading | growth [SIZE...]]";
        writeln!(std::io::stderr(), "{}: unknown; {usage}", given.join(" "))?;
        return Ok(ExitCode::from(2));
    }
    let is_quick = flags.contains(&"--quick");
    let scale = if is_quick { Scale::QUICK } else { Scale::FULL };
    let as_json = flags.contains(&"--json");
    let mut kept = kept()?;
    let show = |section: &Section| {
        let line = section.json().to_string();
        // A reader that went away ends the run no sooner, nor does a full disk.
        let _ = writeln!(kept, "{line}");
        let text = if as_json { line } else { section.to_string() };
        let _ = writeln!(std::io::stdout(), "{text}");
    };
    match words.first() {
        Some(&"reading") => run_reading(&scale, show),
        Some(_) => {
            let sizes: Vec<u64> = sizes.into_iter().flatten().collect();
            growth::run(if sizes.is_empty() { &growth::SIZES } else { &sizes }, &scale, show);
        }
        None if flags.contains(&"--stress") => {
            let stress = if is_quick { &stress::Scale::QUICK } else { &stress::Scale::FULL };
            let say = |table: &str| {
                if !as_json {
                    let _ = writeln!(std::io::stdout(), "{table}");
                }
            };
            let held = stress::run(stress, show, say);
            return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        None => run(&scale, show),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the chapters are kept as JSON, a line each: `figures.jsonl` in the folder that
/// `SYMBOLON_BENCH_OUT` names.
fn kept() -> std::io::Result<Box<dyn std::io::Write>> {
    let Some(folder) = std::env::var_os(stress::OUT) else { return Ok(Box::new(std::io::sink())) };
    std::fs::create_dir_all(&folder)?;
    Ok(Box::new(std::fs::File::create(std::path::Path::new(&folder).join("figures.jsonl"))?))
}
