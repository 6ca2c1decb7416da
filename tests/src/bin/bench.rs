//! `make bench`: prints what Symbolon costs on this machine, chapter by chapter, each figure beside
//! its limit of the same run. `--json` gives one line of JSON a chapter, `--quick` only sees that
//! everything works, `--stress` is `make bench-stress`: a load above what the network can take, a slow
//! disk, a paused validator. `bench growth` is `make bench-growth`: the same node at several sizes;
//! `bench reading` the chapters of reading alone, to be run before and after a change.

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
    if let ["growth", sizes @ ..] = &given[..] {
        let sizes: Result<Vec<u64>, _> = sizes.iter().map(|size| size.parse()).collect();
        let sizes = sizes.map_err(std::io::Error::other)?;
        let sizes = if sizes.is_empty() { growth::SIZES.to_vec() } else { sizes };
        growth::run(&sizes, &Scale::FULL, |section| {
            let _ = writeln!(std::io::stdout(), "{section}");
        });
        return Ok(ExitCode::SUCCESS);
    }
    if given == ["reading"] {
        run_reading(&Scale::FULL, |section| {
            let _ = writeln!(std::io::stdout(), "{section}");
        });
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(other) = given.iter().find(|a| !["--json", "--quick", "--stress"].contains(a)) {
        let usage =
            "usage: bench [--json] [--quick] [--stress], bench reading, or bench growth [SIZE...]";
        writeln!(std::io::stderr(), "{other}: unknown; {usage}")?;
        return Ok(ExitCode::from(2));
    }
    let is_quick = given.contains(&"--quick");
    let scale = if is_quick { Scale::QUICK } else { Scale::FULL };
    let as_json = given.contains(&"--json");
    let mut out = std::io::stdout();
    let show = |section: &Section| {
        let text = if as_json { section.json().to_string() } else { section.to_string() };
        // A reader that went away ends the run no sooner.
        let _ = writeln!(out, "{text}");
    };
    if given.contains(&"--stress") {
        let stress = if is_quick { &stress::Scale::QUICK } else { &stress::Scale::FULL };
        let say = |table: &str| {
            if !as_json {
                let _ = writeln!(std::io::stdout(), "{table}");
            }
        };
        let held = stress::run(stress, show, say);
        return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    run(&scale, show);
    Ok(ExitCode::SUCCESS)
}
