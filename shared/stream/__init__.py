"""The streamed door: a Faust worker that commits only what is finished."""
