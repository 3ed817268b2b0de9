//! Targets that come by the dozen (one per category), told as one.

use super::{Report, TargetReport};

/// Rows shown from each end of a group.
const ENDS: usize = 5;

/// The targets of one declared target.
pub struct Group<'a> {
    /// Its name.
    pub name: &'a str,
    /// Best headline value first, undefined ones last.
    pub members: Vec<&'a TargetReport>,
}

/// How the headline metric is spread over a group.
#[derive(Debug, PartialEq)]
pub struct Spread {
    /// Targets whose headline is defined.
    pub defined: usize,
    /// Their mean.
    pub mean: f64,
    /// Their median.
    pub median: f64,
    /// Lowest and highest.
    pub ends: (f64, f64),
    /// Targets whose chosen model ranks better than every baseline, among those with both.
    pub better: (usize, usize),
}

/// The headline value of the chosen model.
pub fn headline(target: &TargetReport) -> Option<f64> {
    target.chosen()?.value(target.headline())
}

impl Report {
    /// Targets told one by one.
    pub(super) fn single_targets(&self) -> impl Iterator<Item = &TargetReport> {
        self.targets.iter().filter(|target| target.group.is_none())
    }

    /// Groups in the order in which they first appear.
    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for target in &self.targets {
            let Some(name) = target.group.as_deref() else { continue };
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.members.push(target),
                None => groups.push(Group { name, members: vec![target] }),
            }
        }
        for group in &mut groups {
            let value = |target: &TargetReport| headline(target).unwrap_or(f64::NEG_INFINITY);
            group.members.sort_by(|a, b| value(b).total_cmp(&value(a))); // stable: equal ones as they came
        }
        groups
    }
}

impl<'a> Group<'a> {
    /// `None` when no member has a headline value.
    pub fn spread(&self) -> Option<Spread> {
        let values: Vec<f64> = self.members.iter().filter_map(|target| headline(target)).collect();
        let (&highest, &lowest) = (values.first()?, values.last()?);
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        let pairs = self.members.iter().filter_map(|target| headline(target).zip(target.best_baseline()));
        let better =
            pairs.fold((0, 0), |(better, all), (chosen, baseline)| (better + usize::from(chosen > baseline), all + 1));
        Some(Spread {
            defined: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            median: f64::midpoint(lower, upper),
            ends: (lowest, highest),
            better,
        })
    }

    /// The best and the worst five among those with a value (all, when there are ten at most), best first; and how many lie between.
    pub fn ends(&self) -> (Vec<&'a TargetReport>, Vec<&'a TargetReport>, usize) {
        let defined: Vec<_> = self.members.iter().copied().filter(|target| headline(target).is_some()).collect();
        if defined.len() <= 2 * ENDS {
            return (defined, Vec::new(), 0);
        }
        let worst = defined[defined.len() - ENDS..].to_vec();
        (defined[..ENDS].to_vec(), worst, defined.len() - 2 * ENDS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_group_tells_its_middle_and_its_ends() {
        let report = sample::report();
        let groups = report.groups();
        assert_eq!(groups.len(), 1);
        let spread = groups[0].spread().unwrap();
        let values: Vec<f64> = groups[0].members.iter().filter_map(|target| super::headline(target)).collect();
        assert_eq!(spread.defined, values.len());
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(spread.ends, (values[values.len() - 1], values[0]));
        let (best, worst, between) = groups[0].ends();
        assert_eq!((best.len(), worst.len(), between), (5, 5, values.len() - 10));
        assert_eq!(groups[0].members.len(), values.len() + 1); // one category has nobody with the outcome
        assert_eq!(spread.better.1, values.len());
    }
}
