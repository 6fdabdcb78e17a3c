#!/usr/bin/env bash
# Makes media/, the content of the demo bucket, from pictures and sounds that anybody can install.
#
#   apt-get install tuxpaint-stamps-default ffmpeg
#   pip download --no-deps scikit-image==0.25.2 && unzip scikit_image-*.whl 'skimage/data/*'
#   SKIMAGE_DATA=skimage/data infra/demo/make-media.sh
#
# Written beside media/: queries/, shots.tsv (what is seen and heard when, in each video) and SOURCES.tsv
# (source, author and licence of every file). Made with Debian 12's ffmpeg 5.1; another version
# gives other bytes and the same content.
set -euo pipefail
cd "$(dirname "$0")"
stamps=${STAMPS:-/usr/share/tuxpaint/stamps}
skimage=${SKIMAGE_DATA:-skimage/data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf media
mkdir -p media/{photos,sounds,speech,videos,broken} "media/odd names"
sources=SOURCES.tsv
shots=shots.tsv
printf 'key\tsource\tauthor\tlicence\n' >"$sources"
printf 'key\tstart_ms\tend_ms\tcaption\tpicture\tsound\n' >"$shots"

ff() { ffmpeg -nostdin -v error -y -fflags +bitexact "$@"; }
bitexact=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 -threads 1)
caption_of() { head -n 1 "$stamps/$1.txt"; }
# The stamps' collection has one copyright line for all files and names no author a file.
stamp_row() { printf '%s\ttuxpaint-stamps-default 2022.06.04: %s\tBill Kendrick and contributors to Tux Paint stamps\tGPL-2+\n' "$1" "$2" >>"$sources"; }
row() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$sources"; }

palette=(0x2f6f4f 0x274c77 0x8c5e58 0xe0b050 0x5f4b8b 0x3a7d8c 0xa44a3f 0x6b8e23 0xd8c3a5 0x404e5c)
tints=(0xa8d5ba 0xa3cef1 0xf2d0a9 0xfff3c4 0xd4c5f9 0xcdeef5 0xf7cac9 0xe6f2c2 0x8e8d8a 0xc5d3e0)
background() { # number width height seconds rate
  local i=$(($1 % 10))
  printf 'gradients=s=%dx%d:c0=%s:c1=%s:n=2:x0=0:y0=0:x1=%d:y1=%d:seed=%d:speed=0.00001:d=%s:r=%s' \
    "$2" "$3" "${palette[$i]}" "${tints[$i]}" "$2" "$3" "$1" "$4" "$5"
}
number=0

# --- photographs: stamps on coloured grounds, most with a caption beside them
photo() { # stamp name caption?
  number=$((number + 1))
  ff -f lavfi -i "$(background $number 384 288 1 1)" -i "$stamps/$1.png" -filter_complex \
    "[1]scale=340:250:force_original_aspect_ratio=decrease:flags=bicubic[p];[0][p]overlay=(W-w)/2:(H-h)/2,format=yuvj420p" \
    -frames:v 1 -q:v 4 "${bitexact[@]}" "media/photos/$2.jpg"
  stamp_row "photos/$2.jpg" "$1.png"
  if [ "${3:-}" = caption ]; then
    caption_of "$1" >"media/photos/$2.txt"
    stamp_row "photos/$2.txt" "$1.txt"
  fi
}
photo animals/mammals/dogs/dog dog caption
photo animals/mammals/bovines/cow_white cow caption
photo animals/mammals/equines/horse horse caption
photo animals/mammals/elephant elephant caption
photo animals/mammals/cats/lion lion caption
photo animals/mammals/giraffe giraffe caption
photo animals/birds/owl owl caption
photo animals/birds/rooster rooster caption
photo animals/birds/penguin penguin
photo animals/insects/bee bee caption
photo animals/amphibians/frog frog caption
photo animals/marsupials/koala koala
photo animals/mammals/aquatic/dolphin dolphin
photo hobbies/music/percussion/drumkit drumkit caption
photo hobbies/music/string/violin violin
photo vehicles/emergency/firetruck firetruck caption
photo household/dishes/glass glass-of-water
photo naturalforces/lightningbolt lightning

public() { # file name what author licence
  ff -i "$skimage/$1" -vf "scale=480:-2:flags=bicubic,format=yuvj420p" -frames:v 1 -q:v 5 \
    "${bitexact[@]}" "media/photos/$2.jpg"
  row "photos/$2.jpg" "scikit-image 0.25.2: skimage/data/$1 ($3)" "$4" "$5"
}
public astronaut.png astronaut "Eileen Collins" "NASA" "public domain"
public chelsea.png cat "Chelsea the cat" "Stefan van der Walt" "CC0"
public coffee.png coffee "a cup of coffee" "Rachel Michetti" "public domain"
public rocket.jpg rocket "a rocket's launch" "SpaceX" "CC0"
public moon.png moon "the surface of the moon" "NASA" "public domain"
public hubble_deep_field.jpg galaxies "Hubble extreme deep field" "NASA, ESA" "public domain"
printf 'A tabby cat looks into the camera.\n' >media/photos/cat.txt
row photos/cat.txt "written for this demo" "the sensedex project" "Apache-2.0"

# A JPEG that lies on its side and says so: orientation 6, an APP1 segment after the first marker.
ff -i media/photos/rocket.jpg -vf "transpose=2" -q:v 5 "${bitexact[@]}" "$work/side.jpg"
{
  head -c 2 "$work/side.jpg"
  printf '\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
  tail -c +3 "$work/side.jpg"
} >media/photos/rocket-on-its-side.jpg
row photos/rocket-on-its-side.jpg "made from photos/rocket.jpg" "SpaceX" "CC0"
cp "$stamps/animals/birds/tucan.png" media/photos/toucan-transparent.png
stamp_row photos/toucan-transparent.png animals/birds/tucan.png
ff -i media/photos/cow.jpg -c:v libwebp -quality 70 "${bitexact[@]}" media/photos/cow-again.webp
stamp_row photos/cow-again.webp animals/mammals/bovines/cow_white.png

# --- recorded sounds
sound() { # stamp name.ext codec arguments
  local stamp=$1 name=$2
  shift 2
  ff -i "$stamps/$stamp.ogg" "$@" "${bitexact[@]}" "media/sounds/$name"
  stamp_row "sounds/$name" "$stamp.ogg"
}
copy_sound() { cp "$stamps/$1.ogg" "media/sounds/$2" && stamp_row "sounds/$2" "$1.ogg"; }
copy_sound animals/birds/blackbird blackbird.ogg
copy_sound animals/mammals/badger badger.ogg
copy_sound animals/mammals/camel/camel camel.ogg
copy_sound animals/mammals/cats/tiger tiger.ogg
copy_sound animals/insects/bee bee.ogg
sound vehicles/emergency/firetruck siren.mp3 -c:a libmp3lame -b:a 48k
sound hobbies/music/wind/bassoon bassoon.m4a -c:a aac -b:a 48k
sound hobbies/music/string/cello cello.flac -ac 1 -ar 22050 -c:a flac
sound hobbies/music/percussion/drumkit drumkit.opus -c:a libopus -b:a 48k
sound animals/mammals/dogs/dog bark.wav -ac 1 -ar 16000 -c:a pcm_s16le
sound naturalforces/lightningbolt thunder.mp3 -c:a libmp3lame -b:a 48k
sound animals/birds/owl owl.ogg -ac 1 -c:a libvorbis -q:a 2
caption_of vehicles/emergency/firetruck >media/sounds/siren.txt
stamp_row sounds/siren.txt vehicles/emergency/firetruck.txt

# --- spoken words
speech() { cp "$stamps/$1" "media/speech/$2" && stamp_row "speech/$2" "$1"; }
for language in fr es ca el ru ro; do
  speech "animals/mammals/elephant_desc_$language.ogg" "elephant-$language.ogg"
done

# --- videos of several shots: a picture that moves gently, and the sound of what it shows
rate=15
shot() { # file stamp sound seconds width height
  number=$((number + 1))
  ff -f lavfi -i "$(background $number "$5" "$6" "$4" $rate)" -loop 1 -framerate $rate -i "$stamps/$2.png" \
    -stream_loop -1 -i "$stamps/$3.ogg" -filter_complex \
    "[1]scale=$(($5 * 3 / 5)):$(($6 * 4 / 5)):force_original_aspect_ratio=decrease:flags=bicubic[p];[0][p]overlay=x='(W-w)/2+(W-w)/4*sin(t*0.9+$number)':y='(H-h)/2+(H-h)/5*cos(t*0.7)',format=yuv420p[v];[2]aformat=sample_rates=24000:channel_layouts=mono,volume=0.8[a]" \
    -map '[v]' -map '[a]' -t "$4" -c:v ffv1 -c:a pcm_s16le "${bitexact[@]}" "$1"
}
video() { # key widthxheight seconds -- stamp=sound ... -- encoder arguments
  local key=$1 size=$2 seconds=$3 list=$work/list part=0 start=0
  shift 4
  : >"$list"
  while [ "$1" != -- ]; do
    local picture=${1%%=*} noise=${1##*=}
    [ -n "$noise" ] && [ "$noise" != "$picture" ] || noise=$picture
    shot "$work/shot$part.mkv" "$picture" "$noise" "$seconds" "${size%x*}" "${size#*x}"
    printf "file '%s'\n" "$work/shot$part.mkv" >>"$list"
    printf '%s\t%d\t%d\t%s\t%s\t%s\n' "$key" "$start" $((start + seconds * 1000)) \
      "$(caption_of "$picture")" "$picture.png" "$noise.ogg" >>"$shots"
    start=$((start + seconds * 1000))
    part=$((part + 1))
    shift
  done
  shift
  ff -f concat -safe 0 -i "$list" "$@" "${bitexact[@]}" "${output:-media/$key}"
  row "$key" "made by make-media.sh from tuxpaint-stamps-default 2022.06.04, see shots.tsv" \
    "Bill Kendrick and contributors to Tux Paint stamps" "GPL-2+"
}
h264=(-c:v libx264 -preset slow -crf 30 -g 75 -pix_fmt yuv420p)
aac=(-c:a aac -b:a 40k)
mp4=(-movflags +faststart)
m=animals/mammals
video videos/farm.mp4 320x240 5 -- $m/bovines/cow_white $m/equines/horse animals/birds/rooster $m/bovines/sheep -- "${h264[@]}" "${aac[@]}" "${mp4[@]}"
video videos/safari.mp4 426x240 6 -- $m/elephant $m/cats/lion $m/equines/zebra $m/giraffe $m/hippopotamus -- "${h264[@]}" "${aac[@]}" "${mp4[@]}"
video videos/pets.mp4 320x240 4 -- $m/dogs/dog $m/rodents/rabbit $m/rodents/mouse -- "${h264[@]}" "${aac[@]}" "${mp4[@]}"
video videos/concert.mp4 426x240 5 -- hobbies/music/percussion/drumkit hobbies/music/string/cello hobbies/music/string/violin hobbies/music/wind/bassoon -- "${h264[@]}" "${aac[@]}" "${mp4[@]}"
video videos/birds.webm 320x240 4 -- animals/birds/owl animals/birds/crow animals/birds/cuckoo animals/birds/seagull -- -c:v libvpx-vp9 -b:v 0 -crf 44 -g 60 -c:a libopus -b:a 32k
video videos/forest.webm 320x240 4 -- $m/deer/deer $m/dogs/fox $m/rodents/squirrel -- -c:v libvpx-vp9 -b:v 0 -crf 44 -g 60 -c:a libopus -b:a 32k
video videos/sea.mkv 320x240 5 -- $m/aquatic/dolphin $m/aquatic/whale $m/aquatic/orca $m/aquatic/sea_lion -- "${h264[@]}" -c:a libvorbis -q:a 1
video videos/insects-silent.mp4 320x240 4 -- animals/insects/bee animals/insects/grasshopper animals/insects/hornet -- "${h264[@]}" -an "${mp4[@]}"
video videos/apes-narrated.mp4 320x240 6 -- $m/apes/chimp $m/apes/gorilla $m/bears/bear -- "${h264[@]}" "${aac[@]}" "${mp4[@]}"
video videos/town.mp4 426x240 8 -- vehicles/emergency/firetruck naturalforces/lightningbolt household/dishes/glass seasonal/newyears/fireworks space/apollo_lander -- "${h264[@]}" "${aac[@]}" "${mp4[@]}"
# rotated by metadata: stored lying on its side, shown upright
output=$work/side.mp4 video videos/upright-by-metadata.mp4 240x320 4 -- animals/birds/penguin animals/birds/turkey animals/birds/quetzal -- -vf transpose=1 "${h264[@]}" "${aac[@]}"
ff -i "$work/side.mp4" -c copy -metadata:s:v:0 rotate=90 "${mp4[@]}" media/videos/upright-by-metadata.mp4
# variable frame rate: a third of the frames but for one second in three
output=$work/constant.mp4 video videos/variable-rate.mp4 320x240 6 -- $m/camel/camel $m/bears/bear $m/badger -- "${h264[@]}" "${aac[@]}"
ff -i "$work/constant.mp4" -vf "select='not(mod(n,3))+lt(mod(n,45),15)'" -fps_mode vfr "${h264[@]}" -c:a copy \
  "${mp4[@]}" "${bitexact[@]}" media/videos/variable-rate.mp4
# an .mp4 of sound alone
ff -i "$stamps/hobbies/music/wind/bassoon.ogg" -ac 1 "${aac[@]}" "${mp4[@]}" "${bitexact[@]}" media/videos/sound-only.mp4
stamp_row videos/sound-only.mp4 hobbies/music/wind/bassoon.ogg
# subtitles that tell what is seen in each shot
awk -F '\t' '$1 == "videos/apes-narrated.mp4" {
  n++; s = $2 / 1000; e = $3 / 1000
  printf "%d\n00:00:%02d,000 --> 00:00:%02d,000\n%s\n\n", n, s, e, $4
}' "$shots" >media/videos/apes-narrated.srt
row videos/apes-narrated.srt "made from the captions of tuxpaint-stamps-default 2022.06.04" \
  "Bill Kendrick and contributors to Tux Paint stamps" "GPL-2+"

# --- keys that trip up careless code
ff -i "$skimage/coins.png" -vf "scale=320:-2,format=yuvj420p" -frames:v 1 -q:v 5 "${bitexact[@]}" "media/odd names/100% Münzen 🪙.jpg"
row "odd names/100% Münzen 🪙.jpg" "scikit-image 0.25.2: skimage/data/coins.png (Greek coins from Pompeii)" "Brooklyn Museum" "no known copyright restrictions"
ff -i "$skimage/grass.png" -vf "scale=320:-2,format=yuvj420p" -frames:v 1 -q:v 7 "${bitexact[@]}" "media/odd names/grass + sky.jpg"
row "odd names/grass + sky.jpg" "scikit-image 0.25.2: skimage/data/grass.png" "ambientCG" "CC0"
cp "$stamps/animals/birds/seagull.ogg" "media/odd names/a b+c%2F.ogg"
stamp_row "odd names/a b+c%2F.ogg" animals/birds/seagull.ogg

# --- four broken files: cut before its index, empty, text, and good content under a wrong name
ff -i media/videos/pets.mp4 -c copy "${bitexact[@]}" "$work/whole.mp4"
head -c $(($(stat -c %s "$work/whole.mp4") / 2)) "$work/whole.mp4" >media/broken/truncated.mp4
row broken/truncated.mp4 "the first half of videos/pets.mp4, without its index" "Bill Kendrick and contributors to Tux Paint stamps" "GPL-2+"
: >media/broken/empty.mp4
row broken/empty.mp4 "no bytes" "nobody" "none needed"
printf 'This is a shopping list, not a film.\n- eggs\n- flour\n' >media/broken/shopping-list.mp4
row broken/shopping-list.mp4 "written for this demo" "the sensedex project" "Apache-2.0"
cp media/photos/horse.jpg media/broken/horse-photo.mp4
stamp_row broken/horse-photo.mp4 animals/mammals/equines/horse.png

./make-queries.sh
LC_ALL=C sort -t "$(printf '\t')" -k1,1 -o "$work/rows" <(tail -n +2 "$sources")
{ head -n 1 "$sources"; cat "$work/rows"; } >"$work/sorted" && mv "$work/sorted" "$sources"
printf '%d objects, %d bytes\n' "$(find media -type f | wc -l)" "$(du -sb media | cut -f 1)"
