//! `[[ingress]]` and `[[egress]]`, key by key.
//!
//! Knows neither defaults nor what a reference points to.

use std::net::SocketAddr;

use super::tuning::BUDGET_MIN;
use crate::base::limits::BUDGET_MAX;
use crate::base::{Nanos, Priority};
use crate::config::fault::{Place, Report};
use crate::config::item::{ADDRESS_FORM, Item, NAME_FORM, Span};
use crate::config::section::{Field, Section, us};
use crate::config::settings::{
    ClassifyBy, Empty, Framing, Late, LowSourcePorts, ModeWord, Order, Sockets,
};

pub(in crate::config) struct IngressFile {
    pub(in crate::config) place: Place,
    pub(in crate::config) name: Field<String>,
    pub(in crate::config) listen: Field<SocketAddr>,
    pub(in crate::config) priority: Field<Priority>,
    pub(in crate::config) classify: Field<ClassifyBy>,
    pub(in crate::config) highest: Field<Priority>,
    pub(in crate::config) budget: Field<Nanos>,
    pub(in crate::config) framing: Field<Framing>,
    pub(in crate::config) kernel: Field<String>,
    pub(in crate::config) egress: Field<String>,
    pub(in crate::config) order: Field<Order>,
    pub(in crate::config) empty: Field<Empty>,
    pub(in crate::config) sockets: Field<Sockets>,
}

impl IngressFile {
    pub(super) fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            place: s.place().clone(),
            name: name(&mut s, r),
            listen: s.address("listen", r),
            priority: s.choice("priority", r),
            classify: s.choice("classify", r),
            highest: s.choice("highest", r),
            budget: s.duration("budget", BUDGET_MIN..=BUDGET_MAX, r),
            framing: s.choice("framing", r),
            kernel: s.text("kernel", r),
            egress: s.text("egress", r),
            order: s.choice("order", r),
            empty: s.choice("empty", r),
            sockets: s.choice("sockets", r),
        };
        if file.listen == Field::Absent {
            s.missing("listen", ADDRESS_FORM, r);
        }
        s.done(r);
        file
    }
}

pub(in crate::config) struct EgressFile {
    pub(in crate::config) place: Place,
    pub(in crate::config) name: Field<String>,
    pub(in crate::config) mode: Field<ModeWord>,
    pub(in crate::config) to: Field<SocketAddr>,
    pub(in crate::config) late: Field<Late>,
    pub(in crate::config) budget: Field<Nanos>,
    pub(in crate::config) amplification: Field<f64>,
    pub(in crate::config) low_source_ports: Field<LowSourcePorts>,
    pub(in crate::config) sessions: Field<u32>,
    pub(in crate::config) idle_timeout: Field<Nanos>,
    pub(in crate::config) answers: Field<u32>,
}

impl EgressFile {
    pub(super) fn read(mut s: Section<'_, '_>, r: &mut Report) -> Self {
        let file = Self {
            place: s.place().clone(),
            name: name(&mut s, r),
            mode: s.choice("mode", r),
            to: s.with("to", r, destination),
            late: s.choice("late", r),
            budget: s.duration("budget", BUDGET_MIN..=BUDGET_MAX, r),
            amplification: s.number("amplification", Span::positive(100.0), r),
            low_source_ports: s.choice("low_source_ports", r),
            sessions: s.integer("sessions", 1..=60_000, r),
            idle_timeout: s.duration("idle_timeout", us(1_000_000, 3_600_000_000), r),
            answers: s.integer("answers", 0..=1_000, r),
        };
        if let (Field::Absent, Some((ModeWord::Send | ModeWord::Forward, _))) =
            (&file.to, file.mode.given())
        {
            s.missing("to", ADDRESS_FORM, r);
        }
        s.done(r);
        file
    }
}

fn name(s: &mut Section<'_, '_>, r: &mut Report) -> Field<String> {
    let name = s.with("name", r, |item, r| item.name(r));
    if name == Field::Absent {
        s.missing("name", NAME_FORM, r);
    }
    name
}

/// An address that something can be sent to.
fn destination(item: &Item<'_, '_>, report: &mut Report) -> Option<SocketAddr> {
    let address = item.address("", report)?;
    let why = if address.port() == 0 {
        "has port 0: nothing can be sent there"
    } else if address.ip().is_unspecified() {
        "has no host: an address to send to names one"
    } else {
        return Some(address);
    };
    item.wrong(why, report).allowed(ADDRESS_FORM);
    None
}
