"""Links detections to tracks and judges, a fixed lag later, what was missed and what was a false alarm.

The same code runs live on the edge and over recordings: the same detections give the same verdicts.

Only `target` detections are linked, those of low score too; *reported* are those of at least `TrackerOptions.report`. Camera motion is taken out
before anything is compared. The verdict on frame t is final at t + lag, and looks at t - lag .. t + lag:

    missed        a confirmed track was reported before and after t, but at t nothing is near its place
    false_alarm   a reported detection whose track never was confirmed nor reported again, and near which nothing else was reported before or after
    still         once a track: it stands still on the sensor or moves with the background; proposed as an interference

Scores, all 0..1, the higher the surer:

    missed        mean score of the nearest reported detections before and after t, times the share of the other frames in which the track was seen,
                  times the way of its reports in three times the lag over `near` px, where that is less than 1: what hardly moves may be a knot of
                  cloud, and a track that goes over from a target to a knot beside it stands there
    false_alarm   score of the detection times 1 - n / confirm_hits for the n weak detections that its track has besides
    still         mean score of the track's detections
"""

from irdim.tracks.records import FALSE_ALARM, MISSED, STILL, VERDICTS, Point, Track, TrackerOptions, Verdict
from irdim.tracks.tracker import Tracker
from irdim.tracks.verdicts import how_still, wanders

__all__ = [
    "FALSE_ALARM",
    "MISSED",
    "STILL",
    "VERDICTS",
    "Point",
    "Track",
    "Tracker",
    "TrackerOptions",
    "Verdict",
    "how_still",
    "wanders",
]
