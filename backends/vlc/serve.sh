#!/bin/sh
# Serves a directory that holds media.mp4 and vlm.conf with VLC: /clip and /live, port 554 of every address.
#
# VLC refuses root, so it runs as nobody, who must be able to read the directory, with the one capability
# that port 554 needs. Without --rtsp-host it listens on both families; with one, on that family alone, and
# /clip (VOD) is then not found.
set -eu
cd "${1:?usage: serve.sh DIRECTORY}"

exec env HOME=/nonexistent setpriv --reuid nobody --regid nogroup --clear-groups \
    --inh-caps +net_bind_service --ambient-caps +net_bind_service \
    vlc --intf dummy --no-dbus --aout dummy --vlm-conf vlm.conf --rtsp-port 554
