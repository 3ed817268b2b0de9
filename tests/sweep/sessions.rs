//! Visits.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, as_of, .. } = view;
    if !plan.has_times {
        return;
    }
    let mut lines = known.to_vec();
    lines.sort_by_key(|line| line.time);
    let longest = i64::from(plan.session_minutes) * 60_000_000;
    let sessions: Vec<&[&Line]> = lines.chunk_by(|before, after| after.time - before.time <= longest).collect();
    let first = |session: &[&Line]| session.iter().map(|line| line.time).min().expect("not empty");
    let minutes = |session: &[&Line]| {
        (session.iter().map(|line| line.time).max().expect("not empty") - first(session)) as f64 / 60e6
    };
    let kinds = |session: &[&Line]| {
        let known_kind = |line: &Line| plan.kinds.iter().position(|kind| kind.event == line.event);
        session.iter().map(|line| known_kind(line)).collect::<BTreeSet<Option<usize>>>().len() as f64
    };
    let has_order = |session: &[&Line]| session.iter().any(|line| line.is_order_line(&plan.kinds[0].event));
    let average =
        |of: &dyn Fn(&[&Line]) -> f64| mean(&sessions.iter().map(|session| of(session)).collect::<Vec<f64>>());
    all.add("sessions", sessions.len() as f64);
    for days in [7, 30] {
        let begins = (i64::from(as_of.0) - days) * DAY_MICROS;
        let lately = sessions.iter().filter(|session| first(session) >= begins).count();
        all.add(format!("sessions_{days}d"), lately as f64);
    }
    all.add("events_per_session", average(&|session| session.len() as f64));
    all.add_any("minutes_per_session", vec![average(&minutes)], SUM_ROUNDING);
    let last = *sessions.last().expect("something is known");
    all.add("last_session_events", last.len() as f64);
    all.add("last_session_minutes", minutes(last));
    all.add("kinds_per_session", average(&kinds));
    all.add("last_session_kinds", kinds(last));
    all.add("order_session_share", average(&|session| f64::from(has_order(session))));
}
