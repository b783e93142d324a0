//! Chromium without a window, driven through its DevTools protocol.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long Chromium may take to start, or to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A running browser of which one page is looked at, ended when dropped.
pub struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    commands: u32,
    page: Option<String>,
}

impl Browser {
    /// Starts it, or says on stderr that there is none.
    #[expect(clippy::print_stderr, reason = "a test says what it skipped")]
    pub async fn start(folder: &Path) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let Some(child) = names.iter().find_map(|name| spawn(name, folder)) else {
            eprintln!("skipped: none of {names:?} is installed");
            return None;
        };
        let begun = Instant::now();
        let told = loop {
            // Port and path, a line each, once it listens.
            let told = std::fs::read_to_string(folder.join("DevToolsActivePort")).unwrap_or_default();
            if told.lines().count() == 2 {
                break told;
            }
            assert!(begun.elapsed() < LIMIT, "Chromium doesn't start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let (port, path) = told.split_once('\n').expect("two lines");
        let url = format!("ws://127.0.0.1:{port}{}", path.trim());
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("Chromium answers");
        Some(Self {
            child,
            socket,
            commands: 0,
            page: None,
        })
    }

    /// Opens another page.
    pub async fn open(&mut self, url: &str) {
        self.page = None;
        let target = self.command("Target.createTarget", json!({ "url": url })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.command("Target.attachToTarget", attach).await;
        self.page = attached["sessionId"].as_str().map(str::to_owned);
        // A page that isn't there yet has another origin.
        let ready = "new Promise(done => { const look = () => document.readyState === 'complete' \
                     && location.protocol === 'http:' ? done(true) : setTimeout(look, 20); look(); })";
        // The page before is thrown away some time after the command.
        while self.try_evaluate(ready).await.is_err() {}
    }

    /// What an expression or its promise comes to, in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).await.expect("the page stays")
    }

    async fn try_evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        let parameters = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let answer = self.try_command("Runtime.evaluate", parameters).await?;
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        Ok(answer["result"]["value"].clone())
    }

    async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.try_command(method, parameters).await.expect("Chromium does it")
    }

    async fn try_command(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.commands += 1;
        let mut command = json!({ "id": self.commands, "method": method, "params": parameters });
        if let Some(page) = &self.page {
            command["sessionId"] = json!(page);
        }
        self.socket
            .send(Message::text(command.to_string()))
            .await
            .expect("sends");
        tokio::time::timeout(LIMIT, self.answer())
            .await
            .expect("Chromium answers")
    }

    async fn answer(&mut self) -> Result<Value, Value> {
        loop {
            let message = self.socket.next().await.expect("goes on").expect("goes on");
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"] == self.commands {
                if message.get("error").is_some() {
                    return Err(message["error"].take());
                }
                return Ok(message["result"].take());
            }
        }
    }
}

fn spawn(name: &str, folder: &Path) -> Option<Child> {
    let child = Command::new(name)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args([
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
        ])
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg("about:blank")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.ok()
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
