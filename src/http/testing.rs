//! A very small web server for tests: real sockets, answers by script, a record of what it was asked.
