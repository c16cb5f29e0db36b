#!/bin/sh
# Makes clip.mp4, the one clip that the lab's media servers play: a test pattern with a beeping tone.
#
# 8 s hold a whole number of AAC frames (375 of 1024 samples at 48 kHz) and of pictures (200), so that the
# clip can be repeated end to end by stream copy, without encoding and without a jump in its timestamps.
# A key picture every second lets a player that joins a shared stream start at once; no B pictures, so
# that every server can packetise it without reordering.
set -eu
cd "$(dirname "$0")"

ffmpeg -hide_banner -loglevel error -y \
    -f lavfi -i testsrc2=size=480x270:rate=25 \
    -f lavfi -i sine=frequency=440:beep_factor=4:sample_rate=48000 \
    -t 8 \
    -threads 1 -c:v libx264 -preset slow -profile:v main -pix_fmt yuv420p -bf 0 -g 25 -sc_threshold 0 \
    -b:v 350k -maxrate 350k -bufsize 350k \
    -c:a aac -b:a 48k -ac 1 \
    -movflags +faststart -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
    clip.mp4
