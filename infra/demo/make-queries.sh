#!/usr/bin/env bash
# Makes queries/ from media/: examples whose right answer is known. None is a copy of what it asks
# for: a crop, two seconds encoded again, a frame encoded again at another size.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p queries
ff() { ffmpeg -nostdin -v error -y -fflags +bitexact "$@" -flags:v +bitexact -flags:a +bitexact -map_metadata -1; }
list=queries/queries.tsv
printf 'kind\tquery\tamong\tkey\tstart_ms\tend_ms\n' >$list
printf 'words\ta dog\timage\tphotos/dog.jpg\t0\t0\n' >>$list
printf 'words\ta dog\taudio\tsounds/bark.wav\t0\t2000\n' >>$list
printf 'words\ta dog\tvideo\tvideos/pets.mp4\t0\t4000\n' >>$list
ff -i media/photos/cat.jpg -vf "crop=iw*0.9:ih*0.9" -q:v 6 -frames:v 1 queries/crop-of-a-picture.jpg
printf 'picture\tcrop-of-a-picture.jpg\t\tphotos/cat.jpg\t0\t0\n' >>$list
ff -ss 2 -t 2 -i media/sounds/tiger.ogg -c:a libopus -b:a 64k queries/two-seconds-of-a-sound.opus
printf 'sound\ttwo-seconds-of-a-sound.opus\t\tsounds/tiger.ogg\t2000\t4000\n' >>$list
ff -ss 8.5 -i media/videos/farm.mp4 -frames:v 1 -vf scale=480:-2 -q:v 8 queries/frame-of-a-video.jpg
printf 'picture\tframe-of-a-video.jpg\t\tvideos/farm.mp4\t8000\t10000\n' >>$list

# Every shot of every video by its caption: what each run of the demo measures its search with.
awk -F'\t' '
  NR > 1 {
    if (!($4 in spans)) order[++count] = $4
    spans[$4] = spans[$4] (spans[$4] ? ", " : "") \
      sprintf("{\"key\": \"%s\", \"start_ms\": %d, \"end_ms\": %d}", $1, $2, $3)
  }
  END {
    for (i = 1; i <= count; i++)
      printf "{\"query\": \"%s\", \"modality\": \"text\", \"among\": \"video\", \"expected\": [%s]}\n", order[i], spans[order[i]]
  }' shots.tsv >queries.jsonl
