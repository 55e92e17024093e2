"""Images up and down with openstacksdk: each line of standard input asks for something, each line of output has the seconds."""

import json
import os
import sys
import time

import openstack


def connect(cloud):
    """A connection that has its token."""
    connection = openstack.connect(load_yaml_config=False, load_envvars=False, region_name="RegionOne", auth=cloud)
    connection.authorize()
    return connection


def upload(connection, path):
    """Makes an image of a file, without hashing it beforehand."""
    return connection.image.create_image(
        name="bench", filename=path, disk_format="raw", container_format="bare",
        validate_checksum=False, allow_duplicates=True, wait=True)


def main():
    """Answers until standard input ends."""
    clouds = [connect(cloud) for cloud in json.loads(sys.stdin.readline())]
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.monotonic()
        made = []
        if asked["do"] == "upload":
            made = [(clouds[0], upload(clouds[0], asked["path"]))]
        elif asked["do"] == "download":
            for _ in clouds[0].image.download_image(asked["id"], stream=True).iter_content(1 << 20):
                pass
        else:
            clouds[0].image.download_image(asked["id"], stream=True, output=asked["path"], chunk_size=1 << 20)
            made = [(cloud, upload(cloud, asked["path"])) for cloud in clouds[1:1 + asked["copies"]]]
        seconds = time.monotonic() - began
        for cloud, image in made:
            cloud.image.delete_image(image.id)
        if asked["do"] == "copy":
            os.unlink(asked["path"])
        print(seconds, flush=True)


main()
