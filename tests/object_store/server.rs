//! An S3 server within the test: s3s over a folder, on a port of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub const TRAIN: &str = env!("CARGO_BIN_EXE_bellwether-train");
pub const SCORE: &str = env!("CARGO_BIN_EXE_bellwether-score");

/// A request that is never answered.
#[derive(Clone)]
pub struct Hang {
    pub method: Method,
    /// End of its path.
    pub path: String,
}

#[derive(Default)]
struct Seen {
    /// Method, path and range of every request.
    requests: Vec<String>,
    hang: Option<Hang>,
    is_hanging: bool,
}

/// A server with one bucket, `shop`, whose objects are files.
pub struct Server {
    folder: TempDir,
    port: u16,
    seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("shop")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("the-key", "the-secret"));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watched = Arc::clone(&seen);
        runtime.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (service, watched) = (service.clone(), Arc::clone(&watched));
                tokio::spawn(async move {
                    let answer = service_fn(move |request: Request<Incoming>| {
                        let is_hanging = watched.lock().unwrap().note(&request);
                        let service = service.clone();
                        async move {
                            if is_hanging {
                                std::future::pending::<()>().await;
                            }
                            Service::call(&service, request).await
                        }
                    });
                    // A client that was killed ends its connection with an error.
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Self { folder, port, seen, _runtime: runtime }
    }

    /// The file of an object, or the folder of several.
    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join("shop").join(key)
    }

    /// A command line, split at blanks, in `folder`, with the credentials of this server.
    pub fn command(&self, program: &str, folder: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).args(line.split_whitespace());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
            .env("AWS_ACCESS_KEY_ID", "the-key")
            .env("AWS_SECRET_ACCESS_KEY", "the-secret")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        command
    }

    pub fn run(&self, program: &str, folder: &Path, line: &str) -> Ended {
        Ended::of(self.command(program, folder, line).output().unwrap())
    }

    pub fn done(&self, program: &str, folder: &Path, line: &str) -> Ended {
        let ended = self.run(program, folder, line);
        assert_eq!(ended.code, Some(0), "{line}\n{}", ended.err);
        ended
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap().requests)
    }

    /// Whether a request since the last call of [`Server::requests`] begins so.
    pub fn has_seen(&self, start: &str) -> bool {
        self.seen.lock().unwrap().requests.iter().any(|request| request.starts_with(start))
    }

    /// From now on no request of this kind is answered.
    pub fn hang(&self, hang: Option<Hang>) {
        let mut seen = self.seen.lock().unwrap();
        seen.hang = hang;
        seen.is_hanging = false;
    }

    pub fn is_hanging(&self) -> bool {
        self.seen.lock().unwrap().is_hanging
    }
}

impl Seen {
    /// Remembers a request; whether it is one that is not answered.
    fn note(&mut self, request: &Request<Incoming>) -> bool {
        let (method, path) = (request.method(), request.uri().path().replace("%3D", "="));
        let range = request.headers().get("range").map(|range| range.to_str().unwrap().to_string());
        self.requests.push(format!("{method} {path} {}", range.unwrap_or_default()).trim().to_string());
        let is_it = self.hang.as_ref().is_some_and(|hang| hang.method == method && path.ends_with(&hang.path));
        self.is_hanging |= is_it;
        is_it
    }
}
