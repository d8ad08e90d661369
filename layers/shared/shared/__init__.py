"""What the functions share. Whichever part is imported first, the collector rests from here on."""

from shared import cold_start

cold_start.begin()
