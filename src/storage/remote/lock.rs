//! One run at a time in a folder of a bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::UpdateVersion;

use super::super::lock::{Busy, NAME};
use super::{Bucket, Put, runtime};
use crate::error::{Error, ExitCode, Explain};
use crate::progress::Observer;

/// Between two signs of life of the run that has the lock.
const RENEWAL: Duration = Duration::from_secs(15);

/// A lock that shows no life for this long was left behind by a run that is no more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The right to write into a folder of a bucket, until it is dropped.
///
/// It is an object, `FOLDER/.lock`, that is only written when it is not there, which the store sees to. The run that has
/// it rewrites it again and again; one that another run finds unchanged for [`PATIENCE`] was left behind and is taken
/// over. That no more than the lengths of waits are compared, and no clocks, makes it hold between machines. What a
/// process of the same machine has left is taken over at once. Where a store cannot write under conditions, there is no
/// protection but also no refusal.
#[derive(Debug)]
pub(in crate::storage) struct RemoteLock {
    bucket: Bucket,
    key: String,
    /// What it says; `None` where there are no locks.
    ours: Option<String>,
    /// Whether another run has taken it over, because this one showed no life.
    is_lost: Arc<AtomicBool>,
    renewal: Option<tokio::task::JoinHandle<()>>,
}

/// Another run took the lock.
#[derive(Debug, thiserror::Error)]
#[error("another run has taken over {}", folder.display())]
struct Lost {
    folder: PathBuf,
}

impl Explain for Lost {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["This one showed no life for a minute, as when it is suspended. It wrote nothing after that.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec!["look at what the other run has written, and repeat this one if that is not enough".into()]
    }
}

/// The process, told in a way that differs between machines, and between containers of one machine.
fn holder() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_string();
    let space = std::fs::read_link("/proc/self/ns/pid").map(|path| path.display().to_string()).unwrap_or_default();
    let (name, boot) = (read("/proc/sys/kernel/hostname"), read("/proc/sys/kernel/random/boot_id"));
    format!("process {} on {name} {boot} {space}", std::process::id())
}

/// Whether the process of a lock was one of this machine and has ended.
fn has_ended(theirs: &str, ours: &str) -> bool {
    let split = |text: &str| {
        let (process, machine) = text.lines().next()?.strip_prefix("process ")?.split_once(" on ")?;
        Some((process.parse::<u32>().ok()?, machine.to_string()))
    };
    let (Some((process, machine)), Some((_, here))) = (split(theirs), split(ours)) else { return false };
    let has_processes = std::path::Path::new("/proc/self").exists();
    has_processes && machine == here && !std::path::Path::new(&format!("/proc/{process}")).exists()
}

impl RemoteLock {
    /// Takes the right to write into `folder` of a bucket.
    ///
    /// # Errors
    /// Another run has it; a store that cannot be written.
    pub fn acquire(bucket: &Bucket, folder: &str, observer: &dyn Observer) -> Result<Self, Error> {
        Self::acquire_within(bucket, folder, PATIENCE, observer)
    }

    fn acquire_within(
        bucket: &Bucket,
        folder: &str,
        patience: Duration,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let key = if folder.is_empty() { NAME.to_string() } else { format!("{folder}/{NAME}") };
        let ours = holder();
        loop {
            let Some((found, object)) = bucket.read(&key)? else {
                match bucket.put_if(&key, &format!("{ours}\n"), None)? {
                    Put::Done(version) => return Ok(Self::keep(bucket, key, ours, version)),
                    Put::Unsupported => return Ok(Self::nothing(bucket, key)),
                    Put::Refused => continue, // another run was quicker
                }
            };
            let theirs = String::from_utf8_lossy(&found).into_owned();
            if !has_ended(&theirs, &ours) {
                let place = bucket.address(folder);
                let seconds = patience.as_secs();
                observer.note(&format!(
                    "{} is locked: waiting {seconds} s to see whether the run that has it lives",
                    place.display()
                ));
                std::thread::sleep(patience);
                match bucket.read(&key)? {
                    Some((now, _)) if now == found => {} // left behind
                    Some((now, _)) => {
                        let text = String::from_utf8_lossy(&now);
                        let holder = text.lines().next().unwrap_or_default().to_string();
                        return Err(Busy { folder: place, holder }.into());
                    }
                    None => continue, // its run has ended
                }
            }
            match bucket.put_if(&key, &format!("{ours}\n"), Some(object.still()))? {
                Put::Done(version) => return Ok(Self::keep(bucket, key, ours, version)),
                Put::Unsupported => return Ok(Self::nothing(bucket, key)),
                Put::Refused => {} // another run was quicker, or its owner has removed it
            }
        }
    }

    /// Where there are no locks.
    fn nothing(bucket: &Bucket, key: String) -> Self {
        Self { bucket: bucket.clone(), key, is_lost: Arc::default(), ours: None, renewal: None }
    }

    /// A lock that is renewed for as long as it lives.
    fn keep(bucket: &Bucket, key: String, ours: String, mut version: UpdateVersion) -> Self {
        let is_lost = Arc::new(AtomicBool::new(false));
        let (renewed, lost, at, text) = (bucket.clone(), Arc::clone(&is_lost), key.clone(), ours.clone());
        let renewal = runtime().spawn(async move {
            for life in 1_u64.. {
                tokio::time::sleep(RENEWAL).await;
                match renewed.put_if_now(&at, &format!("{text}\nsign of life {life}\n"), Some(version.clone())).await {
                    Ok(Put::Done(new)) => version = new,
                    Ok(Put::Refused) => return lost.store(true, Ordering::SeqCst),
                    Ok(Put::Unsupported) | Err(_) => {} // trouble with the network: next time
                }
            }
        });
        Self { bucket: bucket.clone(), key, is_lost, ours: Some(ours), renewal: Some(renewal) }
    }

    /// Whether the lock is still ours: to be asked before anything is written.
    ///
    /// # Errors
    /// Another run has taken it over.
    pub fn check(&self) -> Result<(), Error> {
        if !self.is_lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        let folder = self.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        Err(Lost { folder: self.bucket.address(folder) }.into())
    }
}

impl Drop for RemoteLock {
    fn drop(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
        let Some(ours) = &self.ours else { return };
        let is_ours = self.bucket.read(&self.key).is_ok_and(|found| {
            found
                .is_some_and(|(text, _)| text.strip_prefix(ours.as_bytes()).is_some_and(|rest| rest.starts_with(b"\n")))
        });
        if is_ours {
            let _ = self.bucket.delete(std::slice::from_ref(&self.key)); // one that stays shows no life
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::storage::location::Location;

    fn bucket(name: &str) -> Bucket {
        Bucket::of(&Location::of(format!("memory://{name}")).unwrap()).unwrap()
    }

    #[test]
    fn a_living_lock_is_respected_and_a_dead_one_taken_over() {
        let bucket = bucket("locks");
        let short = Duration::from_millis(50);
        let take = || RemoteLock::acquire_within(&bucket, "scores", short, &Silent);
        let first = take().unwrap();
        assert!(bucket.read("scores/.lock").unwrap().is_some());
        // A sign of life while the other waits.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| RemoteLock::acquire_within(&bucket, "scores", 10 * short, &Silent));
            std::thread::sleep(2 * short);
            let (text, object) = bucket.read("scores/.lock").unwrap().unwrap();
            let more = format!("{}sign of life\n", String::from_utf8_lossy(&text));
            assert!(matches!(bucket.put_if("scores/.lock", &more, Some(object.still())).unwrap(), Put::Done(_)));
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(error.to_string(), "another run is writing to memory://locks/scores");
            assert_eq!(error.exit_code(), ExitCode::Usage);
        });
        drop(first);
        assert_eq!(bucket.read("scores/.lock").unwrap(), None, "it goes with its run");
        // What a run on another machine has left, and what a dead process of this one has.
        bucket.put_if("scores/.lock", "process 1 on elsewhere\n", None).unwrap();
        drop(take().unwrap());
        let ours = holder();
        let dead = format!("process 4194305 on {}\n", ours.split_once(" on ").unwrap().1);
        bucket.put_if("scores/.lock", &dead, None).unwrap();
        let lock = RemoteLock::acquire(&bucket, "scores", &Silent).unwrap(); // without a wait
        lock.check().unwrap();
        // Taken over by another: it is not removed.
        let (_, object) = bucket.read("scores/.lock").unwrap().unwrap();
        bucket.put_if("scores/.lock", "process 2 on elsewhere\n", Some(object.still())).unwrap();
        drop(lock);
        assert!(bucket.read("scores/.lock").unwrap().is_some());
    }

    #[test]
    fn a_process_is_only_known_to_have_ended_on_its_own_machine() {
        let ours = holder();
        let machine = ours.split_once(" on ").unwrap().1;
        if std::path::Path::new("/proc/self").exists() {
            assert!(has_ended(&format!("process 4194305 on {machine}\nsign of life 3\n"), &ours));
        }
        assert!(!has_ended(&ours, &ours));
        assert!(!has_ended("process 4194305 on elsewhere", &ours));
        assert!(!has_ended("", &ours));
    }
}
