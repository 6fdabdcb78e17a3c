#!/usr/bin/env bash
# Makes queries/ from media/: examples whose right answer is known. None is a copy of what it asks
# for: a crop, two seconds encoded again, a frame encoded again at another size.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p queries
ff() { ffmpeg -nostdin -v error -y -fflags +bitexact "$@" -flags:v +bitexact -flags:a +bitexact -map_metadata -1; }
list=queries/queries.tsv
printf 'kind\tquery\tkey\tstart_ms\tend_ms\n' >$list
printf 'words\t%s\tvideos/apes-narrated.mp4\t6000\t12000\n' "A gorilla." >>$list
ff -i media/photos/cat.jpg -vf "crop=iw*0.9:ih*0.9" -q:v 6 -frames:v 1 queries/crop-of-a-picture.jpg
printf 'picture\tcrop-of-a-picture.jpg\tphotos/cat.jpg\t0\t0\n' >>$list
ff -ss 2 -t 2 -i media/sounds/tiger.ogg -c:a libopus -b:a 64k queries/two-seconds-of-a-sound.opus
printf 'sound\ttwo-seconds-of-a-sound.opus\tsounds/tiger.ogg\t2000\t4000\n' >>$list
ff -ss 8.5 -i media/videos/farm.mp4 -frames:v 1 -vf scale=480:-2 -q:v 8 queries/frame-of-a-video.jpg
printf 'picture\tframe-of-a-video.jpg\tvideos/farm.mp4\t8000\t10000\n' >>$list
