//! Runs a cloud until its input ends: prints a clouds.yaml and the ssh port, then whatever is asked for by line
//! (`inventory`, `log`).

use std::io::{self, BufRead};

use rehearsal::cloud::{CloudSetup, RehearsalCloud};

fn main() -> io::Result<()> {
    let began = std::time::Instant::now();
    let cloud = RehearsalCloud::start(CloudSetup::default())?;
    println!("# started in {:?}; instances answer ssh on port {}", began.elapsed(), cloud.ssh_port());
    if let Some(why) = cloud.instances_unavailable() {
        println!("# {why}");
    }
    println!("{}", cloud.clouds_yaml());
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "inventory" => print!("{}", cloud.inventory()),
            "log" => cloud
                .log()
                .iter()
                .for_each(|entry| println!("{} {} {}", entry.status, entry.method, entry.url)),
            other => println!("unknown: {other}"),
        }
    }
    Ok(())
}
