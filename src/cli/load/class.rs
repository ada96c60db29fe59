//! `--class name=high,to=127.0.0.1:8080,share=1,size=64,budget=1ms,priority=high,kernel=0`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use super::units;
use crate::base::{Nanos, Priority};
use crate::load::{Class, ReplayTo, Sizes};
use crate::packet::Dscp;

const KEYS: [&str; 8] = ["name", "to", "share", "size", "budget", "priority", "kernel", "dscp"];

/// One `--class` as it was typed; what is missing comes from the options for all classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ClassSpec {
    name: Option<String>,
    to: Option<SocketAddr>,
    share: Option<f64>,
    size: Option<Sizes>,
    budget: Option<Nanos>,
    priority: Option<Priority>,
    kernel: Option<u16>,
    dscp: Option<Dscp>,
}

/// The options for all classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) size: Sizes,
    pub(super) budget: Option<Nanos>,
    pub(super) priority: Option<Priority>,
    pub(super) dscp: Option<Dscp>,
}

impl ClassSpec {
    /// The class of the single target `to`.
    pub(super) fn single(to: SocketAddr) -> Self {
        Self { to: Some(to), ..Self::default() }
    }

    /// The class, completed by the options for all classes. `number` names it where nothing else does.
    pub(super) fn complete(&self, number: usize, common: &Common) -> Result<Class, String> {
        let to = self.to.ok_or("a class needs `to=ADDR`")?;
        let priority = self.priority.or(common.priority);
        let name = self.name.clone().unwrap_or_else(|| {
            priority.map_or_else(|| format!("class-{number}"), |p| p.label().to_owned())
        });
        Ok(Class {
            name,
            to,
            share: self.share.unwrap_or(1.0),
            size: self.size.unwrap_or(common.size),
            budget: self.budget.or(common.budget),
            priority,
            kernel: self.kernel.unwrap_or(0),
            dscp: self.dscp.or(common.dscp),
        })
    }
}

/// Reads one `--class`.
pub(crate) fn parse(text: &str) -> Result<ClassSpec, String> {
    let mut spec = ClassSpec::default();
    for pair in text.split(',').filter(|p| !p.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| format!("`{pair}` is not KEY=VALUE"))?;
        let old = set(&mut spec, key.trim(), value.trim()).map_err(|e| format!("{key}: {e}"))?;
        if old {
            return Err(format!("`{key}` is given twice"));
        }
    }
    if spec.to.is_none() {
        return Err("`to=ADDR` is missing".to_owned());
    }
    Ok(spec)
}

/// Sets one key; whether it had been set before.
fn set(spec: &mut ClassSpec, key: &str, value: &str) -> Result<bool, String> {
    Ok(match key {
        "name" if value.is_empty() => return Err("must not be empty".to_owned()),
        "name" => spec.name.replace(value.to_owned()).is_some(),
        "to" => spec.to.replace(address(value)?).is_some(),
        "share" => {
            let share = value.parse().ok().ok_or_else(|| format!("`{value}` is no number"))?;
            spec.share.replace(share).is_some()
        }
        "size" => spec.size.replace(units::sizes(value)?).is_some(),
        "budget" => spec.budget.replace(units::duration(value)?).is_some(),
        "priority" => spec.priority.replace(priority(value)?).is_some(),
        "kernel" => {
            let kernel =
                value.parse().ok().ok_or_else(|| format!("`{value}` is not within 0..65535"))?;
            spec.kernel.replace(kernel).is_some()
        }
        "dscp" => spec.dscp.replace(units::dscp(value)?).is_some(),
        _ => return Err(format!("unknown key; {}", nearest(key, &KEYS))),
    })
}

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("`{text}` has no port: HOST:PORT is expected"));
    };
    if port.parse::<u16>().is_err() {
        return Err(format!("`{port}` is no port: a number up to 65535 is expected"));
    }
    match text.to_socket_addrs().map(|mut all| all.next()) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(format!("`{host}` has no address")),
        Err(e) => Err(format!("`{host}` is no address and no known host: {e}")),
    }
}

/// An address, or a host alone: a replay then takes the ports of the capture.
pub(crate) fn target(text: &str) -> Result<ReplayTo, String> {
    if let Ok(host) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(ReplayTo::Host(host));
    }
    if !text.contains(':') {
        // The port is not used; the resolver wants one.
        return address(&format!("{text}:9")).map(|a| ReplayTo::Host(a.ip()));
    }
    address(text).map(ReplayTo::Address)
}

/// A priority by its label.
pub(crate) fn priority(text: &str) -> Result<Priority, String> {
    let labels = Priority::ALL.map(Priority::label);
    Priority::from_label(text)
        .ok_or_else(|| format!("`{text}` is no priority; {}", nearest(text, &labels)))
}

/// What was probably meant, or all there is.
pub(super) fn nearest(text: &str, known: &[&str]) -> String {
    let distance = |k: &&&str| strsim::damerau_levenshtein(text, k);
    match known.iter().min_by_key(distance) {
        Some(k) if distance(&k) <= 2 => format!("did you mean `{k}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_class_is_read_and_a_short_one_completed() {
        let text = "name=x,to=127.0.0.1:8080,share=2.5,size=64..128,budget=3ms,priority=medium,kernel=4,dscp=ef";
        let size = Sizes::fixed(99);
        let common = Common { size, budget: None, priority: None, dscp: None };
        let low = Common { priority: Some(Priority::Low), ..common };
        let class = parse(text).unwrap().complete(0, &common).unwrap();
        assert_eq!((class.name.as_str(), class.to.port(), class.kernel), ("x", 8_080, 4));
        assert_eq!(class.size, Sizes { min: 64, max: 128 });
        assert_eq!(class.budget, Some(Nanos::from_millis(3)));
        assert!((class.share - 2.5).abs() < 1e-9);
        let short = parse("to=[::1]:9,").unwrap();
        assert_eq!(class.dscp, Some(Dscp::EF));
        let class = short.complete(3, &low).unwrap();
        assert_eq!((class.name.as_str(), class.size, class.budget), ("low", size, None));
        assert_eq!(short.complete(3, &common).unwrap().name, "class-3");
    }

    #[test]
    fn a_target_without_a_port_is_a_host() {
        let host = |text: &str| target(text).unwrap();
        assert_eq!(host("127.0.0.1"), ReplayTo::Host("127.0.0.1".parse().unwrap()));
        assert_eq!(host("[::1]"), host("::1"));
        assert!(matches!(host("localhost"), ReplayTo::Host(ip) if ip.is_loopback()));
        assert_eq!(host("127.0.0.1:7"), ReplayTo::Address("127.0.0.1:7".parse().unwrap()));
        assert!(target("127.0.0.1:x").is_err());
    }

    #[test]
    fn faults_say_what_is_allowed() {
        for (text, part) in [
            ("to=127.0.0.1:1,bugdet=1ms", "did you mean `budget`?"),
            ("to=127.0.0.1:1,colour=red", "known are name, to, share"),
            ("to=127.0.0.1:1,priority=hihg", "did you mean `high`?"),
            ("to=127.0.0.1:1,share", "`share` is not KEY=VALUE"),
            ("to=127.0.0.1:1,share=1,share=2", "`share` is given twice"),
            ("to=127.0.0.1:1,kernel=65536", "0..65535"),
            ("to=127.0.0.1", "has no port"),
            ("to=127.0.0.1:99999", "is no port"),
            ("name=x", "`to=ADDR` is missing"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
