"""A bucket of small media that changes between two runs, by its seed."""

from __future__ import annotations

import random
from typing import Any

from tests.support import media_files


class Bucket:
    """`objects` pictures, sounds and short videos; then some change, come, go, or turn to text."""

    def __init__(self, client: Any, objects: int, seed: int) -> None:
        self._client = client
        self._objects = objects
        self._first = 1_000 * seed
        self._random = random.Random(seed)
        self._clip = media_files.mp4(7 + seed)
        self.pictures: list[str] = []
        self.sounds: list[str] = []
        # What `change` changed, and what it brought.
        self.changed: list[str] = []
        self.new: list[str] = []

    def fill(self) -> None:
        for number in range(self._objects):
            if number % 8 == 3:
                self.sounds.append(f"{number:03d}.wav")
                self.put(self.sounds[-1], media_files.wav(self._first + number))
            elif number % 16 == 5:
                self.put(f"{number:03d}.mp4", self._clip)
            else:
                self.pictures.append(f"{number:03d}.jpg")
                self.put(self.pictures[-1], media_files.jpeg(self._first + number))

    def change(self) -> None:
        """An eighth of the pictures changes, as many come and half as many go; one turns to text,
        a sound becomes a longer one."""
        share = max(3, self._objects // 8)
        chosen = self._random.sample(self.pictures, share + share // 2 + 1)
        self.changed, gone, text = chosen[:share], chosen[share:-1], chosen[-1]
        for number, key in enumerate(self.changed):
            self.put(key, media_files.jpeg(self._first + 500 + number))
        for number in range(share + 1):
            self.new.append(f"{200 + number}.jpg")
            self.put(self.new[-1], media_files.jpeg(self._first + 200 + number))
        for key in gone:
            self.delete(key)
        self.put(text, b"no picture any more\n" * 20)
        self.put(self._random.choice(self.sounds), media_files.wav(self._first + 333, 9.0))

    def put(self, key: str, body: bytes) -> None:
        self._client.put_object(Bucket="media", Key=key, Body=body)

    def read(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket="media", Key=key)["Body"].read()
        return body

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket="media", Key=key)
