//! What the command line makes of what is typed.

use clap::Parser;

use super::args::NoPlan;
use super::*;
use crate::load::{Arrivals, Framing, Matching, Sizes};

#[derive(Debug, Parser)]
struct Wrapper {
    #[command(flatten)]
    load: LoadArgs,
}

fn parse(line: &str) -> Result<LoadArgs, clap::Error> {
    let words = std::iter::once("load").chain(line.split_whitespace());
    Wrapper::try_parse_from(words).map(|w| w.load)
}

#[test]
fn a_single_target_and_a_mix_become_plans() {
    let plan = parse("--to 127.0.0.1:8080 --rate 20k --duration 2s --priority medium --size 100")
        .unwrap()
        .plan()
        .unwrap();
    let class = &plan.classes[0];
    assert_eq!((class.name.as_str(), class.to.port()), ("medium", 8_080));
    assert_eq!((class.size, class.judged_budget()), (Sizes::fixed(100), Nanos::from_millis(10)));
    assert_eq!((plan.framing, plan.matching), (Framing::Framed, Matching::Auto));
    assert_eq!((plan.rate.round(), plan.duration), (20_000.0, Nanos::from_secs(2)));

    let mix = "--class to=127.0.0.1:1,priority=high --class name=b,to=127.0.0.1:2,share=3,size=32";
    let plan = parse(&format!("{mix} --budget 5ms --raw --match crc32c")).unwrap().plan().unwrap();
    assert_eq!((plan.classes.len(), plan.matching), (2, Matching::Crc32c));
    assert_eq!(plan.classes[1].budget, Some(Nanos::from_millis(5)));
    assert_eq!((plan.classes[0].size, plan.classes[1].size), (Sizes::fixed(64), Sizes::fixed(32)));
    let framed = parse("--to [::1]:1 --framed").unwrap().plan().unwrap();
    assert_eq!(framed.matching, Matching::Header);
}

#[test]
fn faults_of_the_command_line_exit_with_2() {
    for line in [
        "",
        "--to nowhere",
        "--to 127.0.0.1:1 --rate 0",
        "--to 127.0.0.1:1 --rate -5",
        "--to 127.0.0.1:1 --rate 21M",
        "--to 127.0.0.1:1 --duration 10",
        "--to 127.0.0.1:1 --class to=127.0.0.1:2",
        "--class to=127.0.0.1:2,bugdet=1ms",
        "--to 127.0.0.1:1 --framed --raw",
        "--to 127.0.0.1:1 --rate 5k@2",
        "--to 127.0.0.1:1 --arrivals posson",
        "--to 127.0.0.1:1 --raw --match id@x",
        "--to 127.0.0.1:1 --dscp 64",
        "--to 127.0.0.1:1 --max-late 101%",
        "--to 127.0.0.1:1 --zone a --names b",
        "--to 127.0.0.1:1 --zone a --query-type NOSUCH",
    ] {
        let fault = parse(line).expect_err(line);
        assert_eq!(fault.exit_code(), 2, "{line}: {fault}");
    }
    let fault = parse("--class to=127.0.0.1:2,bugdet=1ms").unwrap_err().to_string();
    assert!(fault.contains("did you mean `budget`?"), "{fault}");
}

#[test]
fn faults_between_arguments_are_found_before_anything_is_opened() {
    for (line, part) in [
        ("--to 127.0.0.1:1 --size 16", "must lie within 32..65507"),
        ("--to 127.0.0.1:1 --raw --size 4", "must lie within 8..65507"),
        ("--to 127.0.0.1:0", "port 0"),
        ("--to 127.0.0.1:1 --duration 0s", "duration"),
        ("--to 127.0.0.1:1 --flows 0", "local sockets"),
        ("--to 127.0.0.1:1 --burst 0", "bursts of 0"),
        ("--class to=127.0.0.1:1,name=a --class to=127.0.0.1:2,name=a", "named `a`"),
        ("--class to=127.0.0.1:1,share=0", "share"),
        ("--to 127.0.0.1:1 --match echo", "add --raw"),
        ("--to 127.0.0.1", "has no port"),
        ("--to 127.0.0.1:1 --rate 5k@2s --duration 1s", "leave --duration out"),
        ("--to 127.0.0.1:1 --speed 2", "--speed is for a replay"),
        ("--to 127.0.0.1:1 --ports 53", "--ports is for a replay"),
        ("--to 127.0.0.1:1 --framed --zone a", "leave --framed out"),
        ("--to 127.0.0.1:1 --match dns", "--names or --zone"),
        ("--to 127.0.0.1:1 --match id@60", "must lie within 68"),
        ("--to 127.0.0.1:1 --raw --zone a --match echo", "matched by dns"),
        ("--to 127.0.0.1:1 --zone a..b", "label"),
        ("--to 127.0.0.1:1 --names /nowhere/x", "cannot use /nowhere/x"),
        ("--to 127.0.0.1:1 --arrivals /nowhere/x.pcap", "cannot use /nowhere/x.pcap"),
        ("--to 127.0.0.1:1 --arrivals x.pcap --rate 5", "--speed changes them"),
        ("--class to=127.0.0.1:1 --arrivals x.pcap", "a replay needs --to"),
        ("--to 127.0.0.1:1 --arrivals mmpp:0,1ms,1ms", "the ratio must be 1 to 10000"),
        ("--to 127.0.0.1:1 --rate 0@1s", "above 0"),
    ] {
        let fault = usage(line);
        assert!(fault.contains(part), "{line}: {fault}");
    }
}

fn usage(line: &str) -> String {
    match parse(line).unwrap().plan() {
        Err(NoPlan::Usage(fault)) => fault,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn queries_steps_and_bursts_become_plans() {
    let plan = parse("--to 127.0.0.1:53 --zone test --rate 1k@1s,1k..3k@1s").unwrap();
    let plan = plan.plan().unwrap();
    assert_eq!((plan.framing, plan.matching), (Framing::Raw, Matching::Dns));
    assert_eq!((plan.duration, plan.rate.round()), (Nanos::from_secs(2), 1_500.0));
    let plan = parse("--to 127.0.0.1:1 --match id@4:2 --arrivals mmpp:5,1ms,9ms").unwrap();
    let plan = plan.plan().unwrap();
    assert_eq!(plan.framing, Framing::Raw);
    assert!(matches!(plan.arrivals, Arrivals::Bursts(b) if b.ratio > 4.9));
}
