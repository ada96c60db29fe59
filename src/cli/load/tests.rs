//! What the command line makes of what is typed.

use clap::Parser;

use super::*;

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
    assert_eq!(parse("--to [::1]:1 --framed").unwrap().matching(), Matching::Header);
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
        "--to 127.0.0.1:1 --match echo",
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
    ] {
        let fault = parse(line).unwrap().plan().unwrap_err();
        assert!(fault.contains(part), "{line}: {fault}");
    }
}
