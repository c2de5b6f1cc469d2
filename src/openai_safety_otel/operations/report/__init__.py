"""From events to what an operator asks: activity per identifier, ladders, an order by risk."""
