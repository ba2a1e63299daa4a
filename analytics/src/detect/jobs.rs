//! Work on models that takes its time: training and back-tests, with progress and a way to stop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};

use super::backtest::BackTestReport;

/// Reports that are kept, the oldest ones that have ended go first.
pub const KEPT_JOBS: usize = 100;
/// Jobs that may wait or run at a time.
pub const OPEN_JOBS: usize = 16;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Learn a version from a span of the asset's own readings that was normal.
    Train {
        /// What becomes of the version.
        then: Then,
    },
    /// Learn a version for all assets of a class from a span of their readings.
    TrainClass {
        /// The class.
        class: String,
        /// What becomes of the version.
        then: Then,
    },
    /// Learn how long the assets of a class last from those whose lives ended in the span.
    TrainLife {
        /// The class.
        class: String,
        /// Whether the version takes the place of the one in use; otherwise it is kept. It raises
        /// nothing, so there is nothing to try in the shadow.
        promote: bool,
    },
    /// Judge a span of the asset's readings as if they came now.
    BackTest {
        /// The version; `None`: the one in use.
        version: Option<String>,
    },
}

/// What becomes of a version that was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is kept.
    Keep,
    /// It judges beside the one in use and raises nothing.
    Shadow,
    /// It takes the place of the one in use.
    Promote,
}

/// A job as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// What is to be done.
    pub work: Work,
    /// Tag of the asset; empty for a whole class.
    pub asset: String,
    /// Event time of the first reading.
    pub from: DateTime<Utc>,
    /// Event time before which the last one lies.
    pub to: DateTime<Utc>,
    /// Who asks.
    pub by: String,
    /// The same key is the same job.
    pub key: Option<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It has done what it should.
    Done,
    /// It could not.
    Failed,
    /// It was told to stop.
    Canceled,
}

impl JobState {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobResult {
    /// The version that was learned.
    Trained {
        /// Its name.
        version: String,
    },
    /// The version of a class that was learned.
    TrainedClass {
        /// Its name.
        version: String,
        /// Assets that it can judge.
        assets: usize,
        /// Assets that it cannot; the version says why.
        left_out: usize,
    },
    /// The version of a class's model of remaining life that was learned.
    TrainedLife {
        /// Its name.
        version: String,
        /// Lives that it was learned from.
        lives: usize,
        /// Lives that it was not; the version says why.
        left_out: usize,
    },
    /// What the back-test has found.
    BackTest(Box<BackTestReport>),
}

/// A job and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct JobReport {
    /// Number of the job since the start of the service.
    pub number: u64,
    /// What was asked for.
    pub request: JobRequest,
    /// Where it stands.
    pub state: JobState,
    /// How much is done, 0 to 1.
    pub progress: f64,
    /// Of the training of a class: assets that are done, and all of them.
    pub assets: Option<(usize, usize)>,
    /// When it was asked for, business clock.
    pub asked_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What came of it.
    pub result: Option<JobResult>,
}

/// Why a job is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobRefusal {
    /// The span is empty.
    #[error("the span of the job ends before it begins")]
    EmptySpan,
    /// The key belongs to another job.
    #[error("the key of this job belongs to job {0}, which asks for something else")]
    KeyReused(u64),
    /// Too many wait.
    #[error("{OPEN_JOBS} jobs wait or run; try again when one has ended")]
    TooMany,
    /// Nobody knows it.
    #[error("there is no job {0}; the reports of the last {KEPT_JOBS} since the start are kept")]
    NotFound(u64),
}

/// All jobs since the start.
#[derive(Debug, Default)]
pub(super) struct JobBoard {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    jobs: VecDeque<Arc<JobCell>>,
}

/// A job at work.
#[derive(Debug)]
pub(super) struct JobCell {
    report: Mutex<JobReport>,
    stop: AtomicBool,
}

impl JobBoard {
    /// Takes a job; whether it is a new one.
    pub(super) fn take(
        &self,
        request: JobRequest,
        now: DateTime<Utc>,
    ) -> Result<(Arc<JobCell>, bool), JobRefusal> {
        if request.to <= request.from {
            return Err(JobRefusal::EmptySpan);
        }
        let mut inner = self.inner.lock().expect("no holder panics");
        if request.key.is_some() {
            let same = |cell: &&Arc<JobCell>| cell.report().request.key == request.key;
            if let Some(known) = inner.jobs.iter().find(same) {
                let report = known.report();
                if report.request == request {
                    return Ok((Arc::clone(known), false));
                }
                return Err(JobRefusal::KeyReused(report.number));
            }
        }
        let open = inner
            .jobs
            .iter()
            .filter(|cell| !cell.report().state.has_ended());
        if open.count() >= OPEN_JOBS {
            return Err(JobRefusal::TooMany);
        }
        if inner.jobs.len() >= KEPT_JOBS
            && let Some(oldest) = inner
                .jobs
                .iter()
                .position(|cell| cell.report().state.has_ended())
        {
            inner.jobs.remove(oldest);
        }
        inner.last += 1;
        let cell = Arc::new(JobCell {
            report: Mutex::new(JobReport {
                number: inner.last,
                request,
                state: JobState::Queued,
                progress: 0.0,
                assets: None,
                asked_at: now,
                ended_at: None,
                failure: None,
                result: None,
            }),
            stop: AtomicBool::new(false),
        });
        inner.jobs.push_back(Arc::clone(&cell));
        Ok((cell, true))
    }

    /// All reports, the newest first.
    pub(super) fn reports(&self) -> Vec<JobReport> {
        let inner = self.inner.lock().expect("no holder panics");
        inner
            .jobs
            .iter()
            .rev()
            .map(|cell| cell.report().clone())
            .collect()
    }

    /// One job.
    pub(super) fn find(&self, number: u64) -> Result<Arc<JobCell>, JobRefusal> {
        let inner = self.inner.lock().expect("no holder panics");
        let found = inner
            .jobs
            .iter()
            .find(|cell| cell.report().number == number);
        found.cloned().ok_or(JobRefusal::NotFound(number))
    }
}

impl JobCell {
    pub(super) fn report(&self) -> MutexGuard<'_, JobReport> {
        self.report.lock().expect("no holder panics")
    }

    /// Tells it to stop; one that has ended stays as it is.
    pub(super) fn cancel(&self, now: DateTime<Utc>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = self.report();
        if report.state == JobState::Queued {
            report.state = JobState::Canceled;
            report.ended_at = Some(now);
        }
    }

    /// Whether it begins: not when it was told to stop before.
    pub(super) fn begin(&self) -> bool {
        let mut report = self.report();
        let begins = report.state == JobState::Queued;
        if begins {
            report.state = JobState::Running;
        }
        begins
    }

    /// Notes how far it is; whether it goes on.
    pub(super) fn goes_on(&self, progress: f64) -> bool {
        self.report().progress = progress.clamp(0.0, 1.0);
        !self.stop.load(Ordering::Relaxed)
    }

    /// Notes how many assets are done, of how many.
    pub(super) fn note_assets(&self, done: usize, all: usize) {
        self.report().assets = Some((done, all));
    }

    /// It has ended.
    pub(super) fn end(&self, result: Result<JobResult, String>, now: DateTime<Utc>) {
        let stopped = self.stop.load(Ordering::Relaxed);
        let mut report = self.report();
        report.ended_at = Some(now);
        match result {
            Ok(result) => {
                report.state = JobState::Done;
                report.progress = 1.0;
                report.result = Some(result);
            }
            Err(_) if stopped => report.state = JobState::Canceled,
            Err(failure) => {
                report.state = JobState::Failed;
                report.failure = Some(failure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn request(key: &str, asset: &str) -> JobRequest {
        JobRequest {
            work: Work::Train { then: Then::Keep },
            asset: asset.to_owned(),
            from: DateTime::UNIX_EPOCH,
            to: DateTime::UNIX_EPOCH + TimeDelta::days(1),
            by: "ada".to_owned(),
            key: Some(key.to_owned()),
        }
    }

    #[test]
    fn the_same_key_is_the_same_job_and_the_board_is_bounded() {
        let board = JobBoard::default();
        let now = DateTime::UNIX_EPOCH;
        let (first, is_new) = board.take(request("a", "P-1"), now).unwrap();
        assert!(is_new);
        let (again, is_new) = board.take(request("a", "P-1"), now).unwrap();
        assert!(!is_new && Arc::ptr_eq(&first, &again));
        let other = board.take(request("a", "P-2"), now).unwrap_err();
        assert_eq!(other, JobRefusal::KeyReused(1));
        for number in 1..OPEN_JOBS {
            board
                .take(request(&number.to_string(), "P-1"), now)
                .unwrap();
        }
        let full = board.take(request("full", "P-1"), now).unwrap_err();
        assert_eq!(full, JobRefusal::TooMany);
        for number in 0..200 {
            let key = format!("more {number}");
            let last = board.reports()[0].number;
            board.find(last).unwrap().cancel(now);
            board.take(request(&key, "P-1"), now).unwrap();
        }
        assert_eq!(board.reports().len(), KEPT_JOBS);
        let gone = board
            .find(u64::try_from(OPEN_JOBS).unwrap() + 1)
            .unwrap_err();
        assert_eq!(gone, JobRefusal::NotFound(17));
    }

    #[test]
    fn a_job_that_waits_is_canceled_at_once_and_one_that_runs_when_it_looks() {
        let board = JobBoard::default();
        let now = DateTime::UNIX_EPOCH;
        let (waits, _) = board.take(request("a", "P-1"), now).unwrap();
        waits.cancel(now);
        assert!(!waits.begin());
        assert_eq!(waits.report().state, JobState::Canceled);
        let (runs, _) = board.take(request("b", "P-1"), now).unwrap();
        assert!(runs.begin() && runs.goes_on(0.5));
        runs.cancel(now);
        assert!(!runs.goes_on(0.6));
        runs.end(Err("stopped".to_owned()), now);
        assert_eq!(runs.report().state, JobState::Canceled);
        let (fails, _) = board.take(request("c", "P-1"), now).unwrap();
        assert!(fails.begin());
        fails.end(Err("too little".to_owned()), now);
        assert_eq!(fails.report().state, JobState::Failed);
        assert_eq!(fails.report().failure.as_deref(), Some("too little"));
    }
}
