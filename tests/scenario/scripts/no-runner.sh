#!/bin/sh
rm -r /home/ubuntu/actions-runner/bin
